"""Write docs/log/README.md, the table of all experiments, from the heads of their files.

python docs/make_log.py
"""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).with_name("log")
PAGE = FOLDER / "README.md"
NEEDED = ("Entry", "Date", "Question", "Verdict")
ALLOWED = (*NEEDED, "Commit", "Recipe", "Command")
INTRO = """\
# Log

Dated experiments, with figures and the command, negatives too. Unless an entry says otherwise: two CPU cores (AMD
EPYC), torch 2.14.1 (2.15.0 on 2026-11-22), float32; accuracies are on a validation part cut from train.

One file an experiment, `DATE-what-it-is-about.md`: its title, the lines below, an empty line, and what was measured.

```
- Entry: the number of the experiment, one more than the last
- Date: 2026-11-22
- Question: what was to be found out
- Verdict: the answer in one sentence, with the figure
- Commit: where it was measured, if that is known
- Recipe: its name or file, if it is not told by the command
- Command: what repeats it
```

An entry tells what was so on its day, by the names of that day, and "above" means an earlier one. A later finding is
a new entry. The table is made by `python docs/make_log.py`; edit the files, not this.
"""


@dataclass(frozen=True)
class Entry:
    """An experiment as its file tells it: the title and the lines of the head."""

    path: Path
    title: str
    head: dict[str, str]

    @property
    def number(self) -> int:
        """Its place among all entries, counted from 1."""
        return int(self.head["Entry"])


def read(path: Path) -> Entry:
    """The title and the head of a file. ValueError, with what to write, where a line is missing or unknown."""
    title, _, rest = path.read_text(encoding="utf-8").partition("\n\n")
    lines = re.sub(r"\n  +", " ", rest.partition("\n\n")[0]).splitlines()
    pairs = [re.fullmatch(r"- (\w+): (.+)", line) for line in lines]
    head = {pair[1]: pair[2] for pair in pairs if pair}
    if not title.startswith("# ") or "\n" in title:
        raise ValueError(f"{path.name} has no title. Begin it with `# Title` and an empty line")
    if len(head) != len(lines) or not set(head) <= set(ALLOWED):
        raise ValueError(f"{path.name}: the head may hold {', '.join(ALLOWED)}. Write `- Date: ...`, each once")
    if missing := [key for key in NEEDED if key not in head]:
        raise ValueError(f"{path.name} lacks {', '.join(missing)}. Write `- {missing[0]}: ...` below its title")
    if not path.name.startswith(head["Date"] + "-"):
        raise ValueError(f"{path.name} is of {head['Date']}. Let its name begin with that date")
    return Entry(path, title.removeprefix("# "), head)


def entries() -> list[Entry]:
    """All experiments, the newest first."""
    found = [read(path) for path in FOLDER.glob("*.md") if path != PAGE]
    return sorted(found, key=lambda entry: entry.number, reverse=True)


def page() -> str:
    """The whole page."""
    rows = [("date", "question", "verdict", "commit"), ("---",) * 4, *(_row(entry) for entry in entries())]
    return INTRO + "\n" + "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _row(entry: Entry) -> tuple[str, ...]:
    date, question, verdict = (entry.head[key].replace("|", "\\|") for key in ("Date", "Question", "Verdict"))
    return date, f"[{question}]({entry.path.name})", verdict, entry.head.get("Commit", "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
