"""Temporary files and folders beside an output, and what is left of those whose writer was killed. No torch.

    .NAME.<16 hex digits>.tmp    an output on its way
    .NAME.<16 hex digits>.old    the folder NAME while another takes its place, where the two cannot be exchanged

A writer holds the lock of its own, which the system releases however the process ends: one that can be locked is left
over. No reader takes one for an output.
"""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from memcli import machine

_LOCKS_FOLDERS = hasattr(os, "O_DIRECTORY")  # Windows does not, so folders that are left over stay there
_HEAD = 50  # characters of NAME, at most 200 bytes of UTF-8: a name of full length still gets a temporary sibling


def beside(target: Path, suffix: str = "tmp") -> Path:
    """A new hidden name in the folder of `target`, and so on the same file system."""
    return target.with_name(f".{target.name[:_HEAD]}.{secrets.token_hex(8)}.{suffix}")


def new_file(target: Path) -> tuple[int, Path]:
    """An open descriptor of a new file beside `target`, locked, and its path. Raises OSError."""
    while True:
        path = beside(target)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | machine.BINARY
        descriptor = os.open(path, flags, 0o666)  # the kernel applies the umask
        if _is_mine(descriptor, path):
            return descriptor, path
        os.close(descriptor)  # it was taken for left over before it was locked


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield the path of a new folder beside `target`, locked while the block runs. Raises OSError."""
    while True:
        path = beside(target)
        os.mkdir(path)
        with held(path) as is_mine:
            if is_mine:
                yield path
                return


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold the lock of `folder`, wherever it is moved; False where another one has it."""
    if not _LOCKS_FOLDERS:
        yield True
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | machine.NO_FOLLOW)
    try:
        yield _is_mine(descriptor, folder)
    finally:
        os.close(descriptor)


def collect(target: Path) -> None:
    """Remove what killed writers left beside `target`; a folder that was on its way out comes back where none is there.

    What cannot be removed stays: no output depends on it.
    """
    stray = re.compile(rf"\.{re.escape(target.name[:_HEAD])}\.[0-9a-f]{{16}}\.(tmp|old)")
    names: list[str] = []
    with suppress(OSError):
        names = os.listdir(target.parent)
    for name in filter(stray.fullmatch, names):
        with suppress(OSError):
            _collect(target.with_name(name), target)


def _collect(path: Path, target: Path) -> None:
    if path.is_dir() and not _LOCKS_FOLDERS:
        return
    descriptor = os.open(path, os.O_RDONLY | machine.NO_FOLLOW | machine.NO_WAIT)
    try:
        machine.lock(descriptor)  # BlockingIOError, an OSError: its writer is alive
        if path.suffix == ".old" and not os.path.lexists(target) and len(target.name) <= _HEAD:
            os.rename(path, target)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(descriptor)


def _is_mine(descriptor: int, path: Path) -> bool:
    """Lock what is open; False where it was taken for left over. Without locks in the file system nothing is."""
    try:
        machine.lock(descriptor)
    except BlockingIOError:
        return False
    except OSError:
        return True
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    return False
