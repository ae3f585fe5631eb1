"""Pages tell the truth: tables are what they are made from, commands and rooms are there, and links lead somewhere."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from memcli import __version__
from memcli.data.augmentations import AUGMENTATIONS
from memcli.memory.storage import STORAGES
from memcli.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
LOG = runpy.run_path(str(DOCS / "make_log.py"))
EXPERIMENTS = sorted(path for path in (DOCS / "log").iterdir() if path.name != "README.md")
GOOD = "# Title\n\n- Entry: 1\n- Date: 2026-11-22\n- Question: why\n- Verdict: since it is\n  so, by 1 %\n\nText.\n"


def test_the_reference_is_up_to_date() -> None:
    page = runpy.run_path(str(DOCS / "make_cli.py"))["page"]()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page, "out of date: run `python docs/make_cli.py`"


@pytest.mark.parametrize("kind", [STORAGES, AUGMENTATIONS], ids=lambda kind: kind.noun)
def test_every_storage_and_augmentation_says_what_it_is(kind: Registry[Any]) -> None:
    assert all(member.about for member in kind.values())


def test_the_reference_names_every_command_and_exit_code() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    for heading in (
        "## memcli distill SOURCE",
        "## memcli recall FILE",
        "## memcli retrain FILE",
        "## memcli eval FILE",
        "## memcli inspect FILE",
        "## memcli continual BENCHMARK",
    ):
        assert heading in text
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 75, 130, 141, 143):
        assert f"\n| {code} | " in text


def test_the_table_of_the_log_is_up_to_date() -> None:
    text = (DOCS / "log" / "README.md").read_text(encoding="utf-8")
    assert text == LOG["page"](), "out of date: run `python docs/make_log.py`"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_an_experiment_has_a_date_a_question_and_a_verdict(path: Path) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-[a-z0-9]+(-[a-z0-9]+)*\.md", path.name)
    head = LOG["read"](path).head
    assert head["Question"].endswith("?")
    assert head["Verdict"].endswith("."), "a verdict is a sentence"


def test_experiments_are_numbered_in_the_order_of_their_dates() -> None:
    newest_first = LOG["entries"]()
    assert [entry.number for entry in newest_first] == list(range(len(EXPERIMENTS), 0, -1))
    dates = [entry.head["Date"] for entry in newest_first]
    assert dates == sorted(dates, reverse=True)


def test_a_head_s_lines_may_go_on_below(tmp_path: Path) -> None:
    (tmp_path / "2026-11-22-a.md").write_text(GOOD, encoding="utf-8")
    entry: Any = LOG["read"](tmp_path / "2026-11-22-a.md")
    assert (entry.title, entry.head["Verdict"]) == ("Title", "since it is so, by 1 %")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("# Title\n\n", "", "has no title. Begin it with"),
        ("- Verdict: since it is\n  so, by 1 %\n", "", "lacks Verdict. Write `- Verdict: ...`"),
        ("- Question", "- Query", "the head may hold Entry, Date"),
        ("- Date: 2026-11-22", "- Date: 2026-11-23", "is of 2026-11-23. Let its name begin"),
        ("- Entry: 1\n", "- Entry: 1\n- Entry: 2\n", "each once"),
    ],
)
def test_a_head_that_is_wrong_says_what_to_write(tmp_path: Path, before: str, after: str, told: str) -> None:
    path = tmp_path / "2026-11-22-a.md"
    path.write_text(GOOD.replace(before, after), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(told)):
        LOG["read"](path)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_has_a_section_twice(path: Path) -> None:
    headings = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert len(headings) == len(set(headings))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_of_a_page_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_contributing_has_the_commands_of_readme_and_of_ci() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"<!-- (?:first|test) command -->\n```sh\n(.*?)\n```", readme, re.DOTALL)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    linters = [line for line in script if re.match(r"\.venv/bin/(ruff|mypy)\b", line)]
    assert (len(commands), len(linters)) == (2, 3)
    assert [command for command in (*commands, *linters) if command not in text.splitlines()] == []


def test_contributing_names_the_rooms_from_the_lowest_up() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = runpy.run_path(str(ROOT / "tests" / "test_layers.py"))["ROOMS"]
    folders = [room for room in rooms if (ROOT / "memcli" / room).is_dir()]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == folders, "its table lacks a room, or has it elsewhere"


def test_the_changelog_and_the_citation_are_of_this_version() -> None:
    headings = re.findall(r"^## \[(.*?)\] - (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0][0] == __version__
    assert all(re.fullmatch(r"Unreleased|\d{4}-\d\d-\d\d", date) for _, date in headings)
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
