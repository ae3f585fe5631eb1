"""`npz:FILE`: numpy arrays of images and labels, read without pickle and only after their sizes are known."""

import io
import math
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray

from memcli.data.images import LabelledImages
from memcli.data.sources._assembly import arranged
from memcli.data.sources._labels import Label, plain
from memcli.data.sources._limits import require_count, require_label_bytes, require_room
from memcli.data.sources._splits import split_of, words
from memcli.data.sources.base import Request, Shape, Source, SourceKind, listed
from memcli.errors import DataError
from memcli.formats import ZIP, refuse_other
from memcli.text import printable

_IMAGES = ("x", "images", "image", "imgs", "img", "data", "pixels")  # words of names of arrays, the preferred first
_LABELS = ("y", "labels", "label", "targets", "target")
_NAMES = "x_train, y_train, x_test, y_test; train_images, train_labels, test_images, test_labels; or images, labels"
_UNREADABLE = (  # what zipfile and numpy's header parser raise on damaged files
    *(ValueError, TypeError, SyntaxError, EOFError, RuntimeError, OSError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
_PIECE = 4096  # images converted at a time
_HEADER = 1 << 16  # bytes that the header of an array is read from; numpy's are shorter than 10,000


@dataclass(frozen=True)
class _Header:
    """What an array declares of itself."""

    shape: tuple[int, ...]
    dtype: numpy.dtype[Any]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class _Archive:
    """The arrays of an npz file. A header is checked against the size in the zip directory before data are read."""

    def __init__(self, path: Path) -> None:
        self.path, self.shown = path, printable(path.name)
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
        self.members = {member.filename.removesuffix(".npy"): member for member in members}
        if len(self.members) < len(members):
            raise ValueError("two arrays have the same name")
        if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
            raise ValueError("numpy does not write this kind of compression")

    def header(self, name: str) -> _Header:
        """What the array declares. ValueError where that cannot be, or not be loaded without pickle."""
        with zipfile.ZipFile(self.path) as archive, archive.open(self.members[name]) as file:
            stream = io.BytesIO(file.read(_HEADER))  # a header may declare gigabytes, which numpy would read
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"array {name} has format version {version}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        try:
            shape, _, dtype = read(stream)
        except (MemoryError, RecursionError) as error:  # so Python's parser refuses what is nested too deep
            raise ValueError(f"the header of array {name} is damaged") from error
        found = _Header(shape, dtype)
        declared = stream.tell() + found.bytes
        if dtype.itemsize == 0:
            raise ValueError(f"array {name} holds values of no size")
        if dtype.hasobject:
            raise ValueError(f"array {name} holds Python objects, which are never loaded")
        if declared != self.members[name].file_size or any(side < 0 for side in shape):
            raise ValueError(f"array {name} declares {declared} bytes and has {self.members[name].file_size}")
        if not all(shape[1:]):
            raise ValueError(f"array {name} holds no values")
        require_room(declared, f"array {printable(name)} of {self.shown} would")
        return found

    def array(self, name: str) -> NDArray[Any]:
        self.header(name)
        with zipfile.ZipFile(self.path) as archive, archive.open(self.members[name]) as stream:
            return npy.read_array(stream, allow_pickle=False)


def open_npz(rest: str, _: Request) -> Source:
    """Images (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, of 8 bits, or floats from 0 to 1.

    Other numbers are taken as 8 bits where they are whole and from 0 to 255. Class names come from the array `classes`,
    else from the labels.
    """
    path = Path(rest)
    if not rest or not path.is_file():
        raise DataError(f"there is no file {printable(rest)!r}", do="Check the path after npz:")
    try:
        return _opened(path)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    refuse_other(path, ZIP)
    return DataError(
        f"{printable(path.name)} cannot be read: {printable(str(error))}", do="Save it again by numpy.savez"
    )


@dataclass(frozen=True)
class _Pair:
    """The names of the arrays of one split; no labels where there are none."""

    images: str
    labels: str | None


def _pairs(archive: _Archive) -> dict[str, _Pair]:
    """The arrays of each split; those that name no split are "train"."""
    roles: dict[tuple[str | None, str], list[tuple[int, str]]] = {}
    for name in archive.members:
        said = words(name)
        for role, known in (("images", _IMAGES), ("labels", _LABELS)):
            if place := [known.index(word) for word in said if word in known]:
                roles.setdefault((split_of(name), role), []).append((place[0], name))
    chosen = {key: min(ranked)[1] for key, ranked in roles.items()}
    pairs = {
        split or "train": _Pair(chosen[split, "images"], chosen.get((split, "labels")))
        for split in (None, "train", "val", "test")  # what names no split is not read where another is called train
        if (split, "images") in chosen
    }
    if not any(pair.labels for pair in pairs.values()):
        raise DataError(f"{archive.shown} has the arrays {listed(archive.members) or 'none'}", do=f"Name them {_NAMES}")
    return pairs


def _opened(path: Path) -> Source:
    archive = _Archive(path)
    pairs = _pairs(archive)
    labels = {split: _labels(archive, pair) for split, pair in pairs.items()}
    plan = arranged(labels, _classes(archive))
    shape = _shape(archive, pairs[next(iter(plan.chosen.values()))[0]].images)
    used = {name for pair in pairs.values() for name in (pair.images, pair.labels)}
    unread = archive.members.keys() - used - {"classes"}
    notes = [f"arrays that are not read: {listed(sorted(unread))}"] * bool(unread)

    def load(split: str) -> LabelledImages:
        part, mask = plan.chosen[split]
        name = pairs[part].images
        try:
            _shape(archive, name)
            images = LabelledImages(_pixels(archive.array(name), name), plan.labels[part])
        except _UNREADABLE as error:
            raise _unreadable(path, error) from error
        return images if mask.all() else images.subset(mask)

    notes += plan.notes
    return Source(
        printable(path.stem), plan.classes, shape, load, tuple(notes), splits=tuple(plan.chosen), cut=plan.cut
    )


def _layout(shape: tuple[int, ...]) -> str:
    """Where the channels are: "none", "last", "first", or "" where that cannot be told."""
    if len(shape) == 3:
        return "none"
    if len(shape) != 4 or (shape[1] in (1, 3)) == (shape[3] in (1, 3)):
        return ""
    return "last" if shape[3] in (1, 3) else "first"


def _shape(archive: _Archive, name: str) -> Shape:
    """(C, H, W) of the images in array `name`, from its header."""
    header = archive.header(name)
    layout = _layout(header.shape)
    if not layout:
        raise DataError(
            f"array {name} of {archive.shown} has shape {printable(str(header.shape))}", do=_reshape(header.shape)
        )
    if header.dtype.kind not in "uif":
        raise DataError(
            f"array {name} of {archive.shown} has type {printable(str(header.dtype))}",
            do="Save pixels as uint8, or as floats from 0 to 1",
        )
    _, *sides = header.shape
    if layout == "none":
        return 1, sides[0], sides[1]
    return (sides[2], sides[0], sides[1]) if layout == "last" else (sides[0], sides[1], sides[2])


def _reshape(shape: tuple[int, ...]) -> str:
    """What to do where the layout of images cannot be told."""
    asked = "Give (N, H, W), (N, H, W, C) or (N, C, H, W), with C 1 or 3"
    if len(shape) == 2:
        for channels in (1, 3):
            side = math.isqrt(shape[1] // channels)
            if side and channels * side**2 == shape[1]:
                return f"{asked}: these may be images.reshape({(-1, *(3,) * (channels == 3), side, side)})"
    if len(shape) == 4 and shape[3] > shape[0] and shape[2] in (1, 3):
        return f"{asked}: these may be images.transpose(3, 0, 1, 2)"
    if len(shape) == 4 and shape[3] == 4:
        return f"{asked}: images[..., :3] leaves out transparency"
    return asked


def _labels(archive: _Archive, pair: _Pair) -> list[Label]:
    """One label of each image, or None where there is none."""
    images = archive.header(pair.images).shape
    count = images[0] if images else 0
    require_count(count, archive.shown)
    if pair.labels is None:
        return [None] * count
    stored = archive.header(pair.labels)
    labels, where = stored.shape[0] if stored.shape else 1, f"array {printable(pair.labels)} of {archive.shown}"
    if not stored.shape or labels != count:
        raise DataError(
            f"{archive.shown} has {count} images in {printable(pair.images)} and {labels} labels in"
            f" {printable(pair.labels)}",
            do="Give one label per image",
        )
    require_label_bytes(stored.bytes, where)
    return plain(archive.array(pair.labels), where) if count else []


def _classes(archive: _Archive) -> tuple[str, ...] | None:
    if "classes" not in archive.members:
        return None
    header = archive.header("classes")
    if header.dtype.kind != "U" or len(header.shape) != 1:
        raise DataError(f"the array classes of {archive.shown} is not a list of names", do="Save an array of strings")
    require_label_bytes(header.bytes, f"array classes of {archive.shown}")
    return tuple(map(str, archive.array("classes")))


def _pixels(array: NDArray[Any], name: str) -> torch.Tensor:
    """(N, C, H, W) uint8. Floats in [0, 1] and 16 bits are rounded to 8; others must be whole and in 0 to 255."""
    ordered = {"none": lambda: array[:, None], "first": lambda: array, "last": lambda: numpy.moveaxis(array, 3, 1)}
    images = ordered[_layout(array.shape)]()
    pixels = numpy.empty(images.shape, numpy.uint8)
    pieces = range(0, len(images), _PIECE)
    most = max((images[start : start + _PIECE].max() for start in pieces), default=0)  # NaN is more than any number
    is_deep = images.dtype == numpy.uint16 and most > 255  # 16 bits, as some image files have
    for start in pieces:
        piece = images[start : start + _PIECE]
        if piece.dtype != numpy.uint8:
            if images.dtype.kind == "f" and most <= 1:
                piece = numpy.rint(piece * 255)
            elif is_deep:
                piece = (piece.astype(numpy.int64) + 128) // 257
            if not (piece.min() >= 0 and piece.max() <= 255 and (piece == numpy.rint(piece)).all()):
                raise DataError(
                    f"array {printable(name)} has values that are neither from 0 to 1 nor whole and from 0 to 255",
                    do="Scale them, and remove NaN",
                )
        pixels[start : start + _PIECE] = piece
    return torch.from_numpy(pixels)


SOURCE = SourceKind(
    open_npz, "FILE: numpy arrays of images and labels", looks_like=lambda path: path.suffix.lower() == ".npz"
)
