"""The folder of a run, beside its output: settings, figures, status and checkpoints; and how a run is resumed.

    shoes.safetensors  ->  shoes.run/  settings.json            all that determines the result
                                       metrics.jsonl            one line of figures a step
                                       status.json              running, done, interrupted or failed
                                       checkpoint-00000100.safetensors   two generations
                                       .lock                    held by the run that uses the folder

A file is replaced whole or not at all (memcli.files.atomic), so a folder is valid whenever its run is killed.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from memcli.errors import MemoryFileError, UsageError
from memcli.files import atomic, container, headers
from memcli.files.identity import NewerFormatError
from memcli.files.resumable import read_json, refuse_existing, require_same, write_json
from memcli.text import printable

if TYPE_CHECKING:
    from torch import Tensor

STATES = ("running", "done", "interrupted", "failed")
SETTINGS, METRICS, STATUS = "settings.json", "metrics.jsonl", "status.json"
TRIALS, TRACKER = "trials.json", "tracker.json"  # of tuning; which tracker follows the run, and where
GENERATIONS = 2
_CHECKPOINT = re.compile(r"checkpoint-(\d{8,})\.safetensors")
_LOOKS_BYTES = 2**23
_FILE_BYTES = 2**40  # a checkpoint of any size that was written can be read again


class Checkpoint(NamedTuple):
    """The state of a run after `step` steps."""

    step: int
    tensors: dict[str, "Tensor"]
    counters: dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, locked while it is in use: made by `opened`.

    `damaged` names the checkpoints that could not be read when the run was resumed, and were removed.
    """

    path: Path
    damaged: tuple[str, ...] = ()

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

    def trials(self) -> list[dict[str, Any]]:
        """The trials of tuning so far, as `tried` kept them."""
        path = self.path / TRIALS
        trials = read_json(path).get("trials") if path.exists() else []
        if not (isinstance(trials, list) and all(isinstance(trial, dict) for trial in trials)):
            raise MemoryFileError(f"{printable(str(path))} is damaged", do="Start afresh with `force`")
        return trials

    def tried(self, trials: list[dict[str, Any]]) -> None:
        """Keep the trials of tuning so far, each as plain JSON."""
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
        """Write a checkpoint of the state after `step` steps, and remove all but the newest two.

        Raises LimitError where the disk is full; the older checkpoints are then as they were.
        """
        manifest = {"kind": "checkpoint", "step": step, "counters": dict(counters)}
        container.write(self.path / f"checkpoint-{step:08d}.safetensors", tensors, manifest, force=True)
        for _, path in _checkpoints(self.path)[GENERATIONS:]:
            path.unlink()

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that can be read, or None where there is none."""
        loaded = (_load(path) for _, path in _checkpoints(self.path))
        return next((checkpoint for checkpoint in loaded if checkpoint is not None), None)


def folder_of(output: str | Path) -> Path:
    """The run folder beside `output`: f.safetensors -> f.run."""
    output = Path(output)
    if output.suffix == ".run":
        raise UsageError(f"{printable(str(output))} is the name of a run folder", do="Choose another `output`")
    return output.with_suffix(".run")


def settings(output: str | Path) -> dict[str, Any]:
    """The settings of the run of `output`. UsageError where there is none, MemoryFileError where they are damaged."""
    path = folder_of(output) / SETTINGS
    if not path.is_file():
        raise UsageError(f"there is no run to resume in {printable(str(path.parent))}", do="Leave out `resume`")
    return read_json(path)


def looks(output: str | Path, sha256: str) -> list[dict[str, float]]:
    """The figures of each look at the validation part in the run of `output`, in their order; none where it is gone.

    Nor where the run did not make the file whose checksum is `sha256`. A line that is damaged is left out, and what
    is not a finite number, and all beyond the first MiBs.
    """
    folder = folder_of(output)
    try:
        if read_json(folder / STATUS).get("sha256") != sha256:
            return []
        with open(folder / METRICS, "rb") as file:
            lines = file.read(_LOOKS_BYTES).splitlines()
    except (OSError, MemoryFileError):
        return []
    found = []
    for line in lines:
        with suppress(MemoryFileError, OverflowError):
            figures = headers.parse_json(line, "a line of figures")
            found.append({name: float(value) for name, value in figures.items() if type(value) in (int, float)})
    return [figures for figures in found if "step" in figures]


@contextmanager
def opened(
    output: str | Path, settings: dict[str, Any], *, resume: bool = False, force: bool = False
) -> Iterator[RunFolder]:
    """The run folder of `output`, new or resumed, locked while the block runs.

    With `resume`, figures after the newest checkpoint are cut off, so that the run may write them again.
    `settings` must be plain JSON. `force` starts afresh in an existing folder and removes only files of a run.

    Raises ExistsError where the folder exists (without resume or force) or another run is using it, and UsageError
    where it cannot be made, or there is nothing to resume, or the settings differ from those of the run.
    """
    folder = folder_of(output)
    shown = printable(str(folder))
    if resume and not os.path.lexists(folder / SETTINGS):
        raise UsageError(f"there is no run to resume in {shown}", do="Leave out `resume`")
    if os.path.lexists(folder):
        if not folder.is_dir():
            raise UsageError(f"{shown} exists and is not a folder", do="Remove it, or choose another `output`")
        refuse_existing(folder, "exists from an earlier run", resume=resume, force=force)
    _make(folder)
    with atomic.locked(folder):
        known = _known_files(folder)
        for path in known:
            if path.is_symlink() or not path.is_file():
                raise UsageError(f"{printable(str(path))} is not a regular file", do="Remove it")
        damaged: tuple[str, ...] = ()
        if resume:
            require_same(read_json(folder / SETTINGS), settings, "the run")
            damaged = _rewind(folder)
        else:
            for path in known:
                path.unlink()
            write_json(folder / SETTINGS, settings)
        yield RunFolder(folder, damaged)


def _make(folder: Path) -> None:
    try:
        with atomic.explained(folder, only=atomic.REFUSED):
            folder.mkdir(exist_ok=True)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"there is no folder {printable(str(folder.parent))}", do="Create it first, or choose another `output`"
        ) from None


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """The checkpoints by step, newest first."""
    named = ((_CHECKPOINT.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted(((int(match[1]), path) for match, path in named if match), reverse=True)


def _known_files(folder: Path) -> list[Path]:
    """The files that runs write, and temporary ones of killed runs: no other run is alive, since we hold the lock."""
    named = [folder / name for name in (SETTINGS, METRICS, STATUS, TRIALS, TRACKER) if os.path.lexists(folder / name)]
    stray = re.compile(
        r"\.(settings\.json|status\.json|trials\.json|tracker\.json|metrics\.jsonl|checkpoint-\d+\.safetensors)\.[0-9a-f]{16}\.tmp"
    )
    return [
        *named,
        *(path for _, path in _checkpoints(folder)),
        *(path for path in folder.iterdir() if stray.fullmatch(path.name)),
    ]


def _load(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, or None where it is damaged: a run then continues from an older one."""
    try:
        manifest, tensors = container.read(path, kind="checkpoint", file_bytes=_FILE_BYTES)
    except NewerFormatError:  # it is not damaged, so it is neither removed nor ignored
        raise
    except MemoryFileError:
        return None
    step, counters = (manifest.get(key) for key in ("step", "counters"))
    named = _CHECKPOINT.fullmatch(path.name)
    if type(step) is not int or named is None or int(named[1]) != step or not isinstance(counters, dict):
        return None
    return Checkpoint(step, tensors, counters)


def _rewind(folder: Path) -> tuple[str, ...]:
    """Bring the folder to the state of its newest valid checkpoint; returns the names of the damaged ones removed."""
    checkpoints = _checkpoints(folder)
    damaged, step = [], -1
    for number, path in checkpoints:
        if _load(path) is not None:
            step = number
            break
        damaged.append(path)
    if damaged and step < 0:
        raise MemoryFileError(
            f"no checkpoint in {printable(str(folder))} can be read", do="Start afresh with `force`, without `resume`"
        )
    for path in damaged:
        path.unlink()
    for path in _known_files(folder):
        if path.suffix == ".tmp":
            path.unlink()
    if (folder / METRICS).exists():
        kept = _lines_until(step, (folder / METRICS).read_bytes())
        atomic.write_bytes(folder / METRICS, kept, force=True)
    return tuple(path.name for path in damaged)


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
