"""The checkpoints in a run folder: two generations, of which the newest that its run can go on from is taken.

    checkpoint-00000100.safetensors    the state after 100 steps

A checkpoint is untrusted, as any file is: whoever goes on from it says what it must hold (`require_like`).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from memcli.errors import MemoryFileError
from memcli.files import container
from memcli.files.identity import NewerFormatError
from memcli.text import printable

if TYPE_CHECKING:
    from torch import Tensor

GENERATIONS = 2
MOST = 1e18  # of a number in a checkpoint: the squares of larger ones are not finite
KIND = "checkpoint"
_NAME = re.compile(r"checkpoint-(\d{8,18})\.safetensors")
FILE_BYTES = 2**40  # a checkpoint of any size that was written can be read again


class Checkpoint(NamedTuple):
    """The state of a run after `step` steps."""

    step: int
    tensors: dict[str, "Tensor"]
    counters: dict[str, Any]


Accept = Callable[[Checkpoint], None]  # raises MemoryFileError where a run cannot go on from it


def usable(tensors: "Iterable[Tensor]") -> bool:
    """Whether a run can go on from these numbers: the real ones are finite, and none is beyond MOST."""
    return all(bool((tensor.abs() <= MOST).all()) for tensor in tensors if tensor.is_floating_point())  # NaN is not


def unlike(tensors: "Mapping[str, Tensor]", like: "Mapping[str, Tensor]") -> str | None:
    """What is wrong, by name, with `tensors` that are not `usable`, or not of the names, types and shapes of `like`."""
    if differing := sorted(tensors.keys() ^ like.keys()):
        return f"it {'lacks' if differing[0] in like else 'holds a strange'} {printable(differing[0])}"
    for name, tensor in tensors.items():
        if (tensor.dtype, tensor.shape) != (like[name].dtype, like[name].shape):
            return f"its {printable(name)} is of another type or shape"
        if not usable([tensor]):
            return f"its {printable(name)} holds numbers that are not finite, or beyond any use"
    return None


def require_like(tensors: "Mapping[str, Tensor]", like: "Mapping[str, Tensor]") -> None:
    """Raise MemoryFileError, saying what is wrong, where `tensors` are `unlike` those that a checkpoint must hold."""
    if wrong := unlike(tensors, like):
        raise damaged(wrong)


def damaged(what: str) -> MemoryFileError:
    """The error of a checkpoint that no run can go on from."""
    return MemoryFileError(what, do="Start afresh with `force`")


def save(folder: Path, step: int, tensors: "dict[str, Tensor]", counters: Mapping[str, Any]) -> None:
    """Write a checkpoint of the state after `step` steps, and remove all but the newest two.

    Raises LimitError where the disk is full; the older checkpoints are then as they were.
    """
    write(folder / f"checkpoint-{step:08d}.safetensors", step, tensors, counters)
    for path in paths(folder)[GENERATIONS:]:
        path.unlink()


def write(path: Path, step: int, tensors: "dict[str, Tensor]", counters: Mapping[str, Any]) -> None:
    """Write one checkpoint to `path`, in place of an earlier one."""
    container.write(path, tensors, {"kind": KIND, "step": step, "counters": dict(counters)}, force=True)


def paths(folder: Path) -> list[Path]:
    """The files of checkpoints, the newest first."""
    named = ((_NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return [path for _, path in sorted(((int(match[1]), path) for match, path in named if match), reverse=True)]


def newest(folder: Path, accept: Accept) -> tuple[Checkpoint | None, tuple[Path, ...]]:
    """The newest checkpoint that is whole and that `accept` takes, and the newer ones, which are not.

    None where there is no checkpoint at all. Raises MemoryFileError where there are some and none is good, or where one
    is of a newer memcli: that is not damaged, so it is neither removed nor passed over.
    """
    bad: list[Path] = []
    reason = ""
    for path in paths(folder):
        try:
            found = _read(path)
            accept(found)
        except NewerFormatError:
            raise
        except MemoryFileError as error:
            bad.append(path)
            reason = reason or error.what
        else:
            return found, tuple(bad)
    if bad:
        raise damaged(f"no checkpoint in {printable(str(folder))} can be used ({reason})")
    return None, ()


def read(path: Path) -> Checkpoint:
    """The checkpoint at `path`. MemoryFileError where it is damaged."""
    manifest, tensors = container.read(path, kind=KIND, file_bytes=FILE_BYTES)
    step, counters = (manifest.get(key) for key in ("step", "counters"))
    if type(step) is int and step >= 0 and isinstance(counters, dict):
        return Checkpoint(step, tensors, counters)
    raise damaged(f"{printable(str(path))} is no checkpoint")


def _read(path: Path) -> Checkpoint:
    """The checkpoint at `path`, whose name tells its step. MemoryFileError where it is damaged."""
    found = read(path)
    named = _NAME.fullmatch(path.name)
    if named and int(named[1]) == found.step:
        return found
    raise damaged(f"{printable(str(path))} is no checkpoint of that step")
