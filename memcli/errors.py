"""Every expected failure, and the exit code that each one becomes.

An error says what is wrong and what to do next; both are required, so that no message can forget the second.
The command line prints `str(error)` in one line and exits with `error.exit_code`. Library code only raises.
"""

import sys


class MemcliError(Exception):
    """An expected failure. `what` is wrong; `do` is the next thing to type or to change."""

    exit_code = 1

    def __init__(self, what: str, *, do: str) -> None:
        super().__init__(f"{what.removesuffix('.')}. {do.removesuffix('.')}.")
        self.what, self.do = what, do


class UsageError(MemcliError):
    """The request itself is wrong: an unknown name, an impossible setting, a budget too small."""

    exit_code = 2


class DataError(MemcliError):
    """A data set is missing, unreadable, or does not fit the memory."""

    exit_code = 3


class MemoryFileError(MemcliError):
    """A memory file is damaged, hostile, or of a newer format."""

    exit_code = 4


class LimitError(MemcliError):
    """A limit on memory, disk or the size of a recall would be exceeded."""

    exit_code = 5


class DivergedError(MemcliError):
    """Training produced non-finite numbers, and retries at a lower rate did too."""

    exit_code = 6


class GateError(MemcliError):
    """A quality gate, such as `eval --min-accuracy`, was not met."""

    exit_code = 7


class ExistsError(MemcliError):
    """An output exists already, or is locked by another run."""

    exit_code = 8


class Interrupted(MemcliError):
    """A signal stopped work whose state is saved: the same command goes on."""

    exit_code = 75


class MemcliWarning(UserWarning):
    """What one should know of a request that is done all the same."""


def out_of_memory(error: BaseException) -> str | None:
    """What ran out of memory by `error`, "device" or "machine"; None for other errors."""
    torch = sys.modules.get("torch")
    if torch and isinstance(error, torch.OutOfMemoryError):
        return "device"
    # torch has no class of its own for the CPU's allocator
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error)):
        return "machine"
    return None
