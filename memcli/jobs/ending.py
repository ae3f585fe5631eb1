"""How a run ends, as its run folder tells it: always in a final state, and on what it was computed."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from memcli.errors import Interrupted, MemcliError
from memcli.files.runfolder import RunFolder
from memcli.progress import Progress
from memcli.text import printable


def computing(device: torch.device) -> dict[str, Any]:
    """What a run is computed on: with another of these its last bits differ."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def note_other_machine(progress: Progress, before: dict[str, Any], here: dict[str, Any]) -> None:
    """Say in what the machine differs from that on which the run was begun, as its status tells."""
    other = [f"{name} {printable(str(before[name]))}" for name in here if name in before and before[name] != here[name]]
    if other:
        progress.note(f"the run was begun with {', '.join(other)}: it goes on, but not with the same last bits")


@contextmanager
def ending(run: RunFolder, here: dict[str, Any]) -> Iterator[None]:
    """Let the status of `run` be "running", and its end where the block raises; the block itself tells a good one."""
    run.status("running", **here)
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, Interrupted | KeyboardInterrupt | SystemExit)
        reason = error.what if isinstance(error, MemcliError) else f"{type(error).__name__}: {error}"
        code = error.exit_code if isinstance(error, MemcliError) else None
        with suppress(MemcliError):  # a disk that is full takes no status either: what is raised says so
            run.status("interrupted" if stopped else "failed", reason=reason, exit_code=code, **here)
        raise


def attempt(progress: Progress, what: str, action: Callable[[], None]) -> None:
    """Do what a memory that is written does not need; where it fails, a note says so."""
    try:
        action()
    except Exception as error:
        progress.note(f"{what} was not written: {printable(str(error) or type(error).__name__)}")


def number(value: Any) -> float:
    """`value` of a status, which is untrusted, as a number; 0 where it is none."""
    return float(value) if type(value) in (int, float) and math.isfinite(value) else 0.0
