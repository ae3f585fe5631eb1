"""Where real labelled images come from: one module per kind of source, one line each in the registry below."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from memcli.data.images import LabelledImages
from memcli.data.sources.base import Request, Source, aligned, holdout, with_whitening
from memcli.data.sources.digits import open_digits
from memcli.data.sources.fake import open_fake
from memcli.data.sources.imagefolder import open_imagefolder
from memcli.data.sources.npz import open_npz
from memcli.data.sources.parquet import open_parquet
from memcli.data.sources.torchvision import open_torchvision
from memcli.errors import DataError, UsageError
from memcli.text import printable

__all__ = ["LabelledImages", "Source", "aligned", "holdout", "open_source", "schemes", "with_whitening"]


@dataclass(frozen=True)
class _Kind:
    """How a scheme is opened, what it is in a line, and whether it can fit its images to a size."""

    open: Callable[[str, Request], Source]
    help: str
    resizes: bool = False


_KINDS = {
    "digits": _Kind(open_digits, "1,797 handwritten digits, 8x8, built in"),
    "torchvision": _Kind(open_torchvision, "NAME[@ROOT]: MNIST, FashionMNIST, KMNIST, CIFAR10, CIFAR100 or SVHN"),
    "imagefolder": _Kind(open_imagefolder, "PATH: a folder of image files per class", resizes=True),
    "parquet": _Kind(open_parquet, "FOLDER, FILE or GLOB: Hugging Face image columns", resizes=True),
    "npz": _Kind(open_npz, "FILE: numpy arrays of images and labels"),
    "fake": _Kind(open_fake, "n=512,test=128,classes=10,shape=3x32x32,seed=0: synthetic, for smoke tests"),
}


def schemes() -> tuple[tuple[str, str], ...]:
    """Every scheme with one line of help."""
    return tuple((scheme, kind.help) for scheme, kind in _KINDS.items())


def open_source(
    text: str,
    *,
    download: bool = False,
    shape: tuple[int, int, int] | None = None,
    image_size: int | None = None,
) -> Source:
    """The source that `text` names: `SCHEME:REST`, or a path whose kind is guessed (the guess is noted).

    `shape` (channels, height, width) asks sources that can resize for exactly that, as `aligned` needs it; other
    sources keep their own. `image_size` asks for square images and is an error where the source cannot resize.
    Nothing is fetched unless `download`. Raises UsageError for a wrong text, DataError for missing or unusable data.
    """
    request = Request(download, shape, image_size)
    try:
        scheme, rest, notes = _parsed(text)
        kind = _KINDS[scheme]
        if image_size is not None and not kind.resizes:
            raise UsageError(f"images of {scheme}: cannot be resized", do="Leave out --image-size")
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
    match = re.match(r"([A-Za-z][A-Za-z0-9_-]*):", text)
    if match:
        scheme = match[1].lower()
        if scheme not in _KINDS:
            raise UsageError(
                f"unknown kind of source {printable(match[1])!r}",
                do=f"Choose from {', '.join(f'{s}:' for s in _KINDS)}",
            )
        return scheme, text[match.end() :], ()
    scheme = _guessed(path)
    return scheme, text, (f"{printable(text)} is read as {scheme}:{printable(text)}",)


def _guessed(path: Path) -> str:
    """The scheme that a bare path looks like."""
    if path.is_dir():
        return "parquet" if any(path.glob("*.parquet")) else "imagefolder"
    if not path.exists():
        raise DataError(
            f"there is no file or folder {printable(str(path))!r}",
            do=f"Check the path, or write one of {', '.join(f'{scheme}:' for scheme in _KINDS)}",
        )
    if path.suffix.lower() in (".npz", ".parquet"):
        return path.suffix.lower().removeprefix(".")
    raise DataError(
        f"the kind of {printable(str(path))!r} cannot be guessed",
        do="Write SCHEME: before it, such as npz: or parquet:",
    )
