"""Writes files and folders whole or not at all, and refuses to replace what it should not. No torch.

A reader sees the old content or the new one, never a part of it, also after kill -9 or a full disk. After kill -9 at
most a temporary sibling is left (memcli.files.temporaries), which the next start of the same output removes.
"""

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO

from memcli import machine
from memcli.errors import ExistsError, LimitError, UsageError
from memcli.files import temporaries
from memcli.text import printable

FOLDER_MARK = "memcli.json"  # the file by which a folder that memcli wrote is known
KIND = "recalled"  # of a folder that may be replaced, as its FOLDER_MARK tells
LOCK = ".lock"  # the file in a folder that is locked by the run that uses the folder
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FAILED = FULL | {errno.EIO}  # a disk that was good until then
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG}


def check_output(path: str | Path, force: bool) -> Path:
    """The regular file that writing to `path` would create or replace, its symbolic links resolved.

    Raises UsageError where it is anything but a regular file (even with `force`) or its folder is missing, and
    ExistsError where it exists and `force` is not set. Call it before long work begins. What killed writers of the same
    output left beside it is removed.
    """
    return _checked(path, force, stat.S_ISREG, "a regular file")


def check_folder(path: str | Path, force: bool) -> Path:
    """The same for a folder. UsageError also where it is the current folder or one above it, or holds a file that its
    FOLDER_MARK does not name: what memcli did not write is never removed, even with `force`.
    """
    target = _checked(path, force, stat.S_ISDIR, "a folder")
    if target.exists() and Path.cwd().is_relative_to(target):
        raise UsageError(f"{printable(str(path))} holds the current folder", do="Choose another `output`")
    held = _files(target) if target.exists() else set()
    if strange := sorted(held - _written(target) - {FOLDER_MARK}) if held else []:
        raise UsageError(
            f"the folder {printable(str(path))} holds {printable(strange[0])}, which memcli did not write, and is not "
            "replaced",
            do="Choose another `output`",
        )
    return target


def check_apart(output: str | Path, *inputs: str | Path) -> None:
    """Raise UsageError where `output` is one of `inputs`, which are other files of the same command."""
    for each in inputs:
        same = _resolved(output) == _resolved(each)
        with suppress(OSError):
            same = same or os.path.samefile(output, each)
        if same:
            shown = printable(str(output))
            raise UsageError(f"{shown} is named twice, and would be lost if written to", do="Choose another `output`")


def mark(folder: Path, manifest: dict[str, Any]) -> None:
    """Write FOLDER_MARK into a folder that is otherwise complete: `manifest`, and the names of all files."""
    told = json.dumps({"kind": KIND, **manifest, "files": sorted(_files(folder))}, indent=1)
    (folder / FOLDER_MARK).write_text(f"{told}\n", encoding="utf-8")


def mapped(file: BinaryIO) -> mmap:
    """The content of an open file as bytes that are read when they are used, so that little of it is in memory."""
    file.flush()
    return mmap(file.fileno(), 0, access=ACCESS_READ)


def write_bytes(path: str | Path, data: bytes | mmap, *, force: bool) -> None:
    """Write `data` to `path`, whole and on disk when this returns; the mode bits of a replaced file are kept.

    Raises as `check_output` does, UsageError where permission is missing, and LimitError where the disk is full or
    fails; the old file is then intact and nothing is left beside it.
    """
    with _descriptor(path, force) as descriptor:
        _write_all(descriptor, data)


@contextmanager
def new_file(path: str | Path, *, force: bool) -> Iterator[BinaryIO]:
    """Yield an empty file, to be written only, that becomes `path` when the block ends, or is removed where it raises.

    Raises as `write_bytes` does, and LimitError where the disk fills up, also inside the block.
    """
    with _descriptor(path, force) as descriptor, open(descriptor, "wb", closefd=False) as file:
        yield file
        file.flush()
        check_output(path, force)  # again: `path` may have appeared while the block ran


@contextmanager
def _descriptor(path: str | Path, force: bool) -> Iterator[int]:
    """The same for a descriptor, which is closed here."""
    target = check_output(path, force)
    with explained(target):
        descriptor, temporary = temporaries.new_file(target)
        try:
            try:
                _keep_mode(descriptor, target)
                yield descriptor
                os.fsync(descriptor)
                if machine.MOVES_OPEN:  # still locked, so that nobody takes it for left over
                    os.replace(temporary, target)
            finally:
                os.close(descriptor)
            if not machine.MOVES_OPEN:
                os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)


@contextmanager
def new_folder(path: str | Path, *, force: bool) -> Iterator[Path]:
    """Yield an empty temporary folder that becomes `path` when the block ends, or is removed where it raises.

    An existing folder is replaced only with `force`, and only if all its files are named by its FOLDER_MARK (`mark`).
    The two are exchanged in one step, and the old one is then deleted. Where the system cannot do that, the old one is
    moved aside first: after a kill between the two steps the next start of the same output puts it back.
    Raises as `check_folder` does, and LimitError where the disk fills up or fails, also inside the block.
    """
    target = check_folder(path, force)
    with ExitStack() as stack:
        with explained(target):
            temporary = stack.enter_context(temporaries.new_folder(target))
        try:
            with explained(target, only=FAILED):
                yield temporary
            check_folder(path, force)  # again: `path` may have appeared while the block ran
            with explained(target):
                _swap(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`. The system releases it when the process ends, however it ends.

    Raises ExistsError where another run holds it, and as `write_bytes` does where the lock cannot be made.
    """
    path = folder / LOCK
    with explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | machine.NO_FOLLOW | machine.NO_WAIT, 0o666)
    try:
        try:
            machine.lock(descriptor)
        except BlockingIOError:
            shown = printable(str(folder))
            raise ExistsError(f"another run is using {shown}", do="Wait for it, or choose another `output`") from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def explained(target: Path, only: set[int] | None = None) -> Iterator[None]:
    """Turn an OSError of the block (one of the codes `only`, where given) into the error that a user should see."""
    try:
        yield
    except OSError as error:
        code, shown = error.errno, printable(str(target))
        if only is not None and code not in only:
            raise
        if code in FULL:
            raise LimitError(
                f"no space to write {shown} ({error.strerror})", do="Free some disk space, or choose another `output`"
            ) from error
        if code in REFUSED:
            raise UsageError(f"{shown} cannot be written ({error.strerror})", do="Choose another `output`") from error
        raise LimitError(
            f"writing {shown} failed ({error.strerror})", do="Check the disk, or choose another `output`"
        ) from error


def _checked(path: str | Path, force: bool, wanted: Callable[[int], bool], noun: str) -> Path:
    shown = printable(str(path))
    target = _resolved(path)
    temporaries.collect(target)
    try:
        with explained(target, only=REFUSED):
            mode = os.stat(target).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if target.parent.is_dir():
            return target
        parent = printable(str(target.parent))
        raise UsageError(f"there is no folder {parent}", do="Create it first, or choose another `output`") from None
    if not wanted(mode):
        raise UsageError(f"{shown} exists and is not {noun}", do="Choose another `output`")
    if not force:
        raise ExistsError(f"{shown} exists", do="Add `force` to replace it, or choose another `output`")
    return target


def _resolved(path: str | Path) -> Path:
    """`path` with its symbolic links resolved."""
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError:  # of a relative path
        raise UsageError("the current folder was removed", do="Change to another folder") from None


def _files(folder: Path) -> set[str]:
    """The files below `folder`, relative to it, with slashes; links too, none of which is followed."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in paths}


def _written(folder: Path) -> set[str]:
    """The files that the FOLDER_MARK of `folder` names; none where there is no such thing, or it is not ours."""
    try:
        mark = json.loads((folder / FOLDER_MARK).read_text(encoding="utf-8"))
        files = mark["files"] if mark["kind"] == KIND else []
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return set()
    return {name for name in files if isinstance(name, str)} if isinstance(files, list) else set()


def _keep_mode(descriptor: int, target: Path) -> None:
    """Give the open file the mode bits of `target`, where that exists and the system has mode bits."""
    if hasattr(os, "fchmod"):
        with suppress(FileNotFoundError):
            os.fchmod(descriptor, stat.S_IMODE(os.stat(target).st_mode))


def _write_all(descriptor: int, data: bytes | mmap) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    try:
        machine.sync_folder(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: a network file system that cannot sync a folder
            raise


def _swap(new: Path, target: Path) -> None:
    """Let `new` be `target`; what was there is deleted at the end, and is there again after a failure."""
    if not target.exists():
        os.rename(new, target)
        _sync_folder(target.parent)
    elif machine.exchange(new, target):
        _sync_folder(target.parent)
        shutil.rmtree(new, ignore_errors=True)  # what is left of it is removed by the next start
    else:
        old = temporaries.beside(target, "old")
        with temporaries.held(target):
            os.rename(target, old)
            try:
                os.rename(new, target)
            except BaseException:
                os.rename(old, target)
                raise
            _sync_folder(target.parent)
            shutil.rmtree(old, ignore_errors=True)
