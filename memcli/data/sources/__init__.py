"""Where real labelled images come from: one module per kind of source, one line each in the registry below."""

import os
import re
from dataclasses import replace
from pathlib import Path

from memcli.data.cache import folder_of
from memcli.data.sources._guess import not_read
from memcli.data.sources.base import (
    Request,
    Source,
    SourceKind,
    aligned,
    holdout,
    size_of,
    undivided,
    with_whitening,
)
from memcli.errors import DataError, UsageError
from memcli.progress import Progress, Silent
from memcli.registry import Registry
from memcli.text import printable

__all__ = [
    "SOURCES",
    "Source",
    "SourceKind",
    "aligned",
    "holdout",
    "open_source",
    "schemes",
    "undivided",
    "with_whitening",
]

SOURCES: Registry[SourceKind] = Registry(
    "kind of source",
    "memcli.sources",
    {
        "digits": "memcli.data.sources.digits:SOURCE",
        "torchvision": "memcli.data.sources.torchvision:SOURCE",
        "imagefolder": "memcli.data.sources.imagefolder:SOURCE",
        "parquet": "memcli.data.sources.parquet:SOURCE",
        "npz": "memcli.data.sources.npz:SOURCE",
        "idx": "memcli.data.sources.idx:SOURCE",
        "hf": "memcli.data.sources.hf:SOURCE",
        "webdataset": "memcli.data.sources.webdataset:SOURCE",
        "cifar": "memcli.data.sources.cifar:SOURCE",
        "fake": "memcli.data.sources.fake:SOURCE",
    },
    "memcli.data.sources.base:SourceKind",
)


def schemes() -> tuple[tuple[str, str], ...]:
    """Every scheme with one line of help."""
    return tuple((scheme, kind.help) for scheme, kind in SOURCES.working().items())


def open_source(
    text: str | Path,
    *,
    download: bool = False,
    shape: tuple[int, int, int] | None = None,
    image_size: int | str | tuple[int, int] | None = None,
    fit: str = "crop",
    skip_damaged: int = 0,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Source:
    """The source that `text` names: `SCHEME:REST`, or a path whose kind is guessed (the guess is noted).

    `shape` (channels, height, width) asks sources that can resize for exactly that, as `aligned` needs it; other
    sources keep their own. `image_size` (32, "32x100" or (height, width)) asks for images of that size and is an error
    where the source cannot resize. `fit` says how images of another size are made to fit: "crop", "pad" or "stretch".
    Up to `skip_damaged` images that cannot be read are left out. `progress` is told how many image files are read.
    Image files are decoded into the folder `cache`, once, and are read from there; None: into ~/.cache/memcli, where
    they would take more than 1 GiB of memory, or than is free (docs/scale.md).

    Nothing is fetched unless `download`. Raises UsageError for a wrong text, DataError for missing or unusable data.
    """
    text = str(text)
    size = None if image_size is None else size_of(image_size)
    place = None if cache is None else folder_of(cache)
    request = Request(download, shape, size, fit, skip_damaged, progress or Silent(), place)
    try:
        scheme, rest, notes = _parsed(text)
        kind = SOURCES[scheme]
        if image_size is not None and not kind.resizes:
            raise UsageError(f"images of {scheme}: cannot be resized", do="Leave out `image_size`")
        if fit != "crop" and shape is None and not kind.resizes:
            raise UsageError(f"images of {scheme}: cannot be made to fit", do="Leave out `fit`")
        source = kind.open(rest, request)
    except OSError as error:
        raise DataError(f"{printable(text)} cannot be read: {printable(str(error))}", do="Check the path") from error
    return replace(source, notes=(*notes, *source.notes))


def _parsed(text: str) -> tuple[str, str, tuple[str, ...]]:
    """The scheme, the rest, and notes on what was guessed."""
    if not text or "\0" in text:
        raise UsageError(f"{printable(text)!r} names no data", do="Give SCHEME:REST or a path")
    path = Path(text)
    if text in ("digits", "fake"):
        note = f"{text} is the built-in set: write ./{text} for the path of that name"
        return text, "", (note,) * path.exists()
    match = re.match(r"([A-Za-z][A-Za-z0-9_-]+):", text)  # two letters or more: C: is a drive of Windows
    if match:
        scheme = match[1].lower()
        if scheme not in SOURCES:
            raise UsageError(
                f"unknown kind of source {printable(match[1])!r}",
                do=f"Choose from {', '.join(f'{s}:' for s in SOURCES)}",
            )
        return scheme, _at_home(text[match.end() :]), ()
    path = Path(_at_home(text))
    scheme = _guessed(path)
    return scheme, str(path), (f"{printable(text)} is read as {scheme}:{printable(text)}",)


def _at_home(rest: str) -> str:
    """`rest` with ~ at the beginning of its path, or of the folder after @, as the home folder.

    An unknown user's stays as it is, where Path.expanduser would raise.
    """
    before, at, path = rest.rpartition("@~")
    if at:
        return f"{before}@{os.path.expanduser('~' + path)}"
    return os.path.expanduser(rest)


def _guessed(path: Path) -> str:
    """The scheme that a bare path looks like; of a folder that looks like none, imagefolder."""
    if not path.exists():
        raise DataError(
            f"there is no file or folder {printable(str(path))!r}",
            do=f"Check the path, or write one of {', '.join(f'{scheme}:' for scheme in SOURCES)}",
        )
    alike = [scheme for scheme, kind in SOURCES.working().items() if kind.looks_like(path)]
    if alike:
        return alike[0]
    if path.is_dir():
        return "imagefolder"
    raise not_read(path)
