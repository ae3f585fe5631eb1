"""Whether a disk has room for what will be written, asked before the work. No torch."""

import shutil
from pathlib import Path

from memcli.errors import LimitError
from memcli.text import printable

_MIB = 2**20


def require_space(path: str | Path, needed: int, what: str) -> None:
    """Raise LimitError where the disk that will hold `path` has fewer than `needed` bytes free; `what` needs them.

    A disk that does not say how much it has free is left to fail when it is full.
    """
    target = Path(path).absolute()
    folder = next(each for each in (target, *target.parents) if each.is_dir())
    try:
        total, _, free = shutil.disk_usage(folder)
    except OSError:
        return
    if needed > free and total:  # what is no disk, as /proc, has none
        raise LimitError(
            f"{what} needs about {needed / _MIB:,.1f} MiB of disk at {printable(str(folder))}, and"
            f" {free / _MIB:,.1f} MiB are free",
            do="Free some, or choose another `output`",
        )
