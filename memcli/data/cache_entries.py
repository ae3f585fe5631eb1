"""What is in a cache of decoded images, and its end."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from memcli.data.cache import FORMAT, KIND, LINE, PIXELS, START, TOLD, Contents, explained, locked, opened


@dataclass(frozen=True)
class Entry:
    """A set of decoded images in a cache."""

    path: Path
    contents: Contents
    bytes: int  # on disk
    done: int  # images that are decoded; checksums are not compared
    in_use: bool  # whether a process is decoding it


def entries(cache: Path) -> list[Entry]:
    """The sets in the folder `cache`; other things in it are passed over. UsageError where it cannot be read."""
    found = []
    for folder in _folders(cache):
        try:
            with opened(folder / TOLD) as told:
                found.append(_entry(folder, told))
        except (OSError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            continue  # it is no set
    return found


def clear(cache: Path) -> list[Entry]:
    """Remove the sets in the folder `cache`, but for those that are being decoded, and return them.

    A process that uses one keeps it until it ends. Raises UsageError where one cannot be removed.
    """
    removed = []
    for entry in entries(cache):
        with explained(entry.path), suppress(FileNotFoundError), opened(entry.path / TOLD) as told:  # or another did it
            if locked(told):
                for name in (PIXELS, TOLD):  # in this order: by the second it is found again, if this ends in between
                    (entry.path / name).unlink(missing_ok=True)
                if not any(entry.path.iterdir()):
                    entry.path.rmdir()
                removed.append(entry)
    return removed


def _folders(cache: Path) -> list[Path]:
    with explained(cache):
        return sorted(path for path in cache.glob(f"{START}*") if path.is_dir() and not path.is_symlink())


def _entry(folder: Path, told: BinaryIO) -> Entry:
    """What a folder tells of its set. ValueError and others where it is no set."""
    head: dict[str, Any] = dict(json.loads(told.readline(LINE)))
    if (head.pop("kind"), head.pop("format")) != (KIND, FORMAT):
        raise ValueError("no images of a cache")
    contents = Contents(**{**head, "shape": tuple(map(int, head["shape"]))})
    if contents.folder(folder.parent) != folder:
        raise ValueError("those of another folder")
    blocks = sum(line.endswith(b"\n") for line in iter(lambda: told.readline(LINE), b""))
    size = sum(path.stat().st_size for path in (folder / TOLD, folder / PIXELS) if path.exists())
    return Entry(folder, contents, size, min(blocks * contents.block, contents.images), not locked(told))
