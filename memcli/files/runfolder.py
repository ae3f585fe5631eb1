"""The folder of a run, beside its output: settings, figures, status and checkpoints; and how a run is resumed.

    shoes.safetensors  ->  shoes.safetensors.run/  settings.json    all that determines the result, and what was asked
                                                   metrics.jsonl    one line of figures a step
                                                   status.json      running, done, interrupted or failed
                                                   checkpoint-00000100.safetensors   two generations
                                                   .lock            held by the run that uses the folder

A file is replaced whole or not at all (memcli.files.atomic), so a folder is valid whenever its run is killed. What is
in a folder is untrusted, as any file is.
"""

import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memcli.errors import ExistsError, MemoryFileError, UsageError
from memcli.files import atomic, checkpoints, headers
from memcli.files.checkpoints import Accept, Checkpoint
from memcli.files.resumable import ASKED, differences, read_json, require_continuable, write_json
from memcli.text import printable

if TYPE_CHECKING:
    from torch import Tensor

STATES = ("running", "done", "interrupted", "failed")
SETTINGS, METRICS, STATUS = "settings.json", "metrics.jsonl", "status.json"
TRIALS, TRACKER = "trials.json", "tracker.json"  # of tuning; which tracker follows the run, and where
PREVIEW = "preview.png"
_LOOKS_BYTES = 2**23


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, locked while it is in use: made by `opened`."""

    path: Path
    continued: bool = False  # whether it holds an earlier run of the same settings, which goes on

    def metrics(self, step: int, **figures: float) -> None:
        """Append {"step": step, ...figures} to metrics.jsonl; a figure that is not finite becomes null."""
        plain = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        line = json.dumps({"step": step, **plain}, allow_nan=False) + "\n"
        with atomic.explained(self.path / METRICS), open(self.path / METRICS, "a", encoding="utf-8") as file:
            file.write(line)

    def status(self, state: str, **more: Any) -> None:
        """Replace status.json by {"state": state, ...more}."""
        if state not in STATES:
            raise UsageError(f"no run is {printable(state)!r}", do=f"Say {', '.join(STATES)}")
        write_json(self.path / STATUS, {"state": state, **more})

    @property
    def learns(self) -> bool:
        """Whether it holds a checkpoint: tuning is over then."""
        return bool(checkpoints.paths(self.path))

    def trials(self) -> list[dict[str, Any]]:
        """The trials of tuning so far, as `tried` kept them."""
        path = self.path / TRIALS
        trials = read_json(path).get("trials") if path.exists() else []
        if not (isinstance(trials, list) and all(map(_is_trial, trials))):
            raise MemoryFileError(f"{printable(str(path))} is damaged", do="Start afresh with `force`")
        return trials

    def tried(self, trials: list[dict[str, Any]]) -> None:
        """Keep the trials of tuning so far, each `{round, memory, steps, accuracy}` as plain JSON."""
        write_json(self.path / TRIALS, {"trials": trials})

    def tracked(self, tracker: str, place: str) -> None:
        """Record that the figures go to `tracker` too, where `place` says."""
        write_json(self.path / TRACKER, {"tracker": tracker, "place": place})

    def tracker(self) -> dict[str, str]:
        """What `tracked` recorded; nothing where no tracker has followed the run."""
        path = self.path / TRACKER
        found = read_json(path) if path.exists() else {}
        if found and not all(isinstance(found.get(key), str) for key in ("tracker", "place")):
            raise MemoryFileError(f"{printable(str(path))} is damaged", do="Remove it")
        return found

    def save(self, step: int, tensors: "dict[str, Tensor]", counters: Mapping[str, Any]) -> None:
        """Write a checkpoint of the state after `step` steps, as `checkpoints.save` does."""
        checkpoints.save(self.path, step, tensors, counters)

    def latest(
        self, accept: Accept = lambda _: None, note: Callable[[str], None] = lambda _: None
    ) -> Checkpoint | None:
        """The newest checkpoint that is whole and that `accept` takes, or None where there is none; see `newest`.

        Newer ones are removed, with a note, and figures after it are cut off, so that the run may write them again.
        """
        found, damaged = checkpoints.newest(self.path, accept)
        for path in damaged:
            note(f"{printable(path.name)} was damaged and is left out; an older checkpoint is continued")
            path.unlink()
        if (self.path / METRICS).exists():
            kept = _lines_until(-1 if found is None else found.step, (self.path / METRICS).read_bytes())
            atomic.write_bytes(self.path / METRICS, kept, force=True)
        return found


def folder_of(output: str | Path) -> Path:
    """The run folder beside `output`: f.safetensors -> f.safetensors.run."""
    output = Path(output)
    if output.suffix == ".run":
        raise UsageError(f"{printable(str(output))} is the name of a run folder", do="Choose another `output`")
    return output.with_name(f"{output.name}.run")


def state(output: str | Path) -> dict[str, Any]:
    """What `RunFolder.status` wrote last for the run of `output`; nothing where that is missing or damaged."""
    with suppress(OSError, MemoryFileError):
        return read_json(_present(output) / STATUS)
    return {}


def asked(output: str | Path) -> dict[str, Any]:
    """What was asked for when the run of `output` was started; nothing where there is no such run, or it is older.

    MemoryFileError where the settings are damaged.
    """
    path = _present(output) / SETTINGS
    stored = read_json(path).get(ASKED, {}) if path.is_file() else {}
    if not isinstance(stored, dict):
        raise MemoryFileError(f"{printable(str(path))} is damaged", do="Start afresh with `force`")
    return stored


def looks(output: str | Path, sha256: str) -> list[dict[str, float]]:
    """The figures of each look at the validation part in the run of `output`, in their order; none where it is gone.

    Nor where the run did not make the file whose checksum is `sha256`. A line that is damaged is left out, and what
    is not a finite number, and all beyond the first MiBs.
    """
    folder = _present(output)
    if state(output).get("sha256") != sha256:
        return []
    try:
        with open(folder / METRICS, "rb") as file:
            lines = file.read(_LOOKS_BYTES).splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with suppress(MemoryFileError, OverflowError):
            figures = headers.parse_json(line, "a line of figures")
            found.append({name: float(value) for name, value in figures.items() if type(value) in (int, float)})
    return [figures for figures in found if "step" in figures]


@contextmanager
def opened(
    output: str | Path,
    settings: dict[str, Any],
    *,
    resume: bool = False,
    force: bool = False,
    flags: Mapping[str, str] | None = None,
) -> Iterator[RunFolder]:
    """The run folder of `output`, new or continued, locked while the block runs.

    A run of the same settings is continued, also one that is over, unless `force` alone says that it starts afresh:
    then only files of a run are removed. So it does where a run left neither a checkpoint nor a trial. `settings` must
    be plain JSON; `flags` are as in `require_same`. A folder by the former rule for its name, f.run, is renamed.

    Raises ExistsError where the folder holds a run of other settings, UsageError where `resume` asks for its
    continuation or the folder cannot be made, and ExistsError where another run is using it.
    """
    folder = folder_of(output)
    shown = printable(str(folder))
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{shown} exists and is not a folder", do="Remove it, or choose another `output`")
    afresh = force and not resume
    if not (afresh or os.path.lexists(folder)):
        _take_over(_former(output), folder, settings)
    _make(folder)
    with atomic.locked(folder):
        known = _known_files(folder)
        for path in known:
            if path.is_symlink() or not path.is_file():
                raise UsageError(f"{printable(str(path))} is not a regular file", do="Remove it")
        for path in known:
            if path.suffix == ".tmp":
                path.unlink()
        continued = not afresh and _continues(folder, settings, resume, flags or {})
        if not continued:
            for path in known:
                path.unlink(missing_ok=True)
            write_json(folder / SETTINGS, settings)
        yield RunFolder(folder, continued)


def _continues(folder: Path, settings: dict[str, Any], resume: bool, flags: Mapping[str, str]) -> bool:
    """Whether the run in `folder` goes on. Raises where it cannot, and where something would be lost."""
    shown = printable(str(folder))
    if not (folder / SETTINGS).exists():
        if strange := sorted({path.name for path in folder.iterdir()} - {atomic.LOCK, PREVIEW}):
            raise ExistsError(
                f"{shown} exists, and holds {printable(strange[0])}, which is of no run",
                do="Remove it, or choose another `output`",
            )
        return False
    if not checkpoints.paths(folder) and not (folder / TRIALS).exists():
        return False  # nothing would be lost
    before = read_json(folder / SETTINGS)
    require_continuable(before, settings, folder, "the run", resume=resume, flags=flags)
    return True


def _former(output: str | Path) -> Path:
    """The run folder of `output` by the first rule for its name: f.safetensors -> f.run, and f.v1 -> f.run too."""
    return Path(output).with_suffix(".run")


def _present(output: str | Path) -> Path:
    """The run folder of `output`, by either rule where it exists."""
    folder, former = folder_of(output), _former(output)
    return former if former.is_dir() and not os.path.lexists(folder) else folder


def _take_over(former: Path, folder: Path, settings: dict[str, Any]) -> None:
    """Rename the folder `former` to `folder` where it holds the run of these settings; another run's is left alone."""
    with suppress(OSError, MemoryFileError):
        if not differences(read_json(former / SETTINGS), settings):
            with atomic.locked(former):
                os.rename(former, folder)


def _make(folder: Path) -> None:
    try:
        with atomic.explained(folder, only=atomic.REFUSED | atomic.FAILED):
            folder.mkdir(exist_ok=True)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"there is no folder {printable(str(folder.parent))}", do="Create it first, or choose another `output`"
        ) from None


def _known_files(folder: Path) -> list[Path]:
    """The files that runs write, and temporary ones of killed runs: no other run is alive, since we hold the lock."""
    named = [folder / name for name in (SETTINGS, METRICS, STATUS, TRIALS, TRACKER) if os.path.lexists(folder / name)]
    stray = re.compile(
        r"\.(settings\.json|status\.json|trials\.json|tracker\.json|metrics\.jsonl|preview\.png|checkpoint-\d+\.safetensors)"
        r"\.[0-9a-f]{16}\.tmp"
    )
    return [
        *named,
        *checkpoints.paths(folder),
        *(path for path in folder.iterdir() if stray.fullmatch(path.name)),
    ]


def _is_trial(trial: Any) -> bool:
    """Whether `tried` can have kept it."""
    if not isinstance(trial, dict) or trial.keys() != {"round", "memory", "steps", "accuracy"}:
        return False
    counts, accuracy = (trial["round"], trial["steps"]), trial["accuracy"]
    plain = all(type(count) is int and 0 <= count < 2**53 for count in counts) and type(accuracy) in (int, float)
    return plain and 0 <= accuracy <= 1


def _lines_until(step: int, lines: bytes) -> bytes:
    """The first lines of figures, up to `step`, or to a line that a kill cut off."""
    kept = []
    for line in lines.splitlines(keepends=True):
        try:
            of_line = headers.parse_json(line, "a line of figures").get("step")
        except MemoryFileError:
            break
        if not (isinstance(of_line, int) and of_line <= step and line.endswith(b"\n")):
            break
        kept.append(line)
    return b"".join(kept)
