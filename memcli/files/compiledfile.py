"""Compiled steps in one file, to be carried to another machine: torch's folder of compiled code as a zip archive.

It holds machine code, and pickles of what runs it. Nothing can check what they do, and no limit here makes a stranger's
file safe: it is to be trusted as a program is, so one that another user owns or can write is not used. Its first member
says what it was made by and for: elsewhere it would be of no use, or end the process.

    machine.json        {"format": "1", "memcli": "...", "torch": "...", "processor": "...", ...}
    code/...            the files, at most MOST_FILES, of MOST_BYTES together
"""

import json
import os
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from memcli.files import atomic
from memcli.machine import BINARY, NO_WAIT
from memcli.text import printable

FORMAT, MOST_FILES, MOST_BYTES = "1", 20_000, 1 << 30
_HEAD, _CODE = "machine.json", "code/"
_MOST_HEAD = 1 << 16  # bytes
_MEMBER = re.compile(r"code(/(?!\.\.?(/|$))[\w.+=-]+)+", re.ASCII)
_UNREADABLE = (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


class UnusableError(Exception):
    """Why a file of compiled steps is not used, in words that follow its name. It ends nothing: all can be compiled."""


def unpack(path: Path, folder: Path, here: dict[str, str]) -> None:
    """Write the code of the file to `folder`, which is empty. `here`: what it must have been made for.

    Raises UnusableError, which says why, where the file is damaged or too large, where another user can write it, and
    where it was made for something else. `folder` may hold some of it then.
    """
    try:
        with open(os.open(path, os.O_RDONLY | NO_WAIT | BINARY), "rb") as file:
            _require_own(os.fstat(file.fileno()))
            with zipfile.ZipFile(file) as archive:
                _require_made_for(archive, here)
                members = [member for member in archive.infolist() if member.filename != _HEAD]
                if len(members) > MOST_FILES or sum(member.file_size for member in members) > MOST_BYTES:
                    raise UnusableError("it is too large")
                for member in members:
                    _extract(archive, member, folder)
    except _UNREADABLE as error:
        raise UnusableError(f"it is damaged: {printable(str(error) or type(error).__name__)}") from error


def pack(path: Path, folder: Path, here: dict[str, str]) -> None:
    """Write what `unpack` reads, in place of what is there. Raises as `atomic.new_file` does."""
    with atomic.new_file(path, force=True) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_HEAD, json.dumps({"format": FORMAT, **here}, indent=1))
        for name in sorted(held(folder)):
            archive.write(folder / name, _CODE + name)


def held(folder: Path) -> set[str]:
    """The names of the files of compiled code below `folder`, locks left out."""
    names = {entry.relative_to(folder).as_posix() for entry in folder.rglob("*") if entry.is_file()}
    return {name for name in names if _MEMBER.fullmatch(_CODE + name) and not name.endswith(".lock")}


def _require_own(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnusableError("it is no regular file")
    if status.st_size > MOST_BYTES:
        raise UnusableError("it is too large")
    if hasattr(os, "geteuid") and (status.st_uid not in (os.geteuid(), 0) or status.st_mode & stat.S_IWOTH):
        raise UnusableError("another user owns it or can write it, and it holds code that would be run")


def _require_made_for(archive: zipfile.ZipFile, here: dict[str, str]) -> None:
    head = archive.getinfo(_HEAD) if _HEAD in archive.namelist() else None
    if head is None or head.file_size > _MOST_HEAD:
        raise UnusableError("it is no file of compiled steps")
    told = json.loads(archive.read(head))
    wanted = {"format": FORMAT, **here}
    differing = [name for name in wanted if not isinstance(told, dict) or told.get(name) != wanted[name]]
    if differing:
        name = differing[0]
        other = printable(str(told.get(name))) if isinstance(told, dict) else "none"
        raise UnusableError(f"it was made for {name} {other}, and here is {wanted[name]}")


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    if not _MEMBER.fullmatch(member.filename):
        raise UnusableError(f"it holds a file of the name {printable(member.filename)!r}")
    target = folder / member.filename.removeprefix(_CODE)
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("xb") as copy:
        shutil.copyfileobj(source, copy)
