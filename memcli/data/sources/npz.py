"""`npz:FILE`: numpy arrays of images and labels, read without pickle and only after their sizes are known."""

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
from memcli.data.sources.base import MAX_BYTES, Request, Shape, Source, SourceKind, fixed_fifth, listed
from memcli.errors import DataError, LimitError
from memcli.text import printable

_NAMINGS = (  # train images, train labels, test images, test labels
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),  # MedMNIST
    ("images", "labels", "", ""),
)
_NAMES = "x_train, y_train, x_test, y_test; train_images, train_labels, test_images, test_labels; or images, labels"
_UNREADABLE = (  # what zipfile and numpy's header parser raise on damaged files
    *(ValueError, TypeError, SyntaxError, EOFError, RuntimeError, OSError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
_PIECE = 4096  # images converted at a time


@dataclass(frozen=True)
class _Header:
    """What an array declares of itself."""

    shape: tuple[int, ...]
    dtype: numpy.dtype[Any]


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
        with zipfile.ZipFile(self.path) as archive, archive.open(self.members[name]) as stream:
            version = npy.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"array {name} has format version {version}")
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(stream)
            declared = stream.tell() + math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise ValueError(f"array {name} holds Python objects, which are never loaded")
        if declared != self.members[name].file_size or any(side < 0 for side in shape):
            raise ValueError(f"array {name} declares {declared} bytes and has {self.members[name].file_size}")
        if declared > MAX_BYTES:
            raise LimitError(
                f"array {printable(name)} of {self.shown} declares {declared >> 30} GiB",
                do=f"Give arrays of at most {MAX_BYTES >> 30} GiB",
            )
        return _Header(shape, dtype)

    def array(self, name: str) -> NDArray[Any]:
        self.header(name)
        with zipfile.ZipFile(self.path) as archive, archive.open(self.members[name]) as stream:
            return npy.read_array(stream, allow_pickle=False)


def open_npz(rest: str, _: Request) -> Source:
    """Images (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, uint8 or floats in [0, 1] (rounded to 8 bits).

    Labels are integers (N,) or (N, 1); class names come from the array `classes`, else they are the numbers. Where
    there is no test split, a fixed fifth of the images is.
    """
    path = Path(rest)
    if not rest or not path.is_file():
        raise DataError(f"there is no file {printable(rest)!r}", do="Check the path after npz:")
    try:
        return _opened(path)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{printable(path.name)} cannot be read: {printable(str(error))}", do="Save it again by numpy.savez"
    )


def _opened(path: Path) -> Source:
    archive = _Archive(path)
    naming = next((names for names in _NAMINGS if set(names[:2]) <= archive.members.keys()), None)
    if naming is None:
        raise DataError(f"{archive.shown} has the arrays {listed(archive.members) or 'none'}", do=f"Name them {_NAMES}")
    shape = _shape(archive, naming[0])
    labels = {"train": _labels(archive, naming[1])}
    notes = []
    cut = None
    if naming[2] and set(naming[2:]) <= archive.members.keys():
        labels["test"] = _labels(archive, naming[3])
    else:
        cut = fixed_fifth(labels["train"])
        notes.append("there are no test arrays: a fixed fifth of the images is the test split")
    unread = archive.members.keys() - {*naming, "classes"}
    if unread:
        notes.append(f"arrays that are not read: {listed(sorted(unread))}")

    def load(split: str) -> LabelledImages:
        try:
            if cut is None:
                name = naming[0 if split == "train" else 2]
                _shape(archive, name)
                return LabelledImages(_pixels(archive.array(name)), labels[split])
            return LabelledImages(_pixels(archive.array(naming[0])), labels["train"]).subset(cut[split])
        except _UNREADABLE as error:
            raise _unreadable(path, error) from error

    return Source(printable(path.stem), _classes(archive, labels["train"]), shape, load, tuple(notes))


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
            f"array {name} of {archive.shown} has shape {printable(str(header.shape))}",
            do="Give (N, H, W), (N, H, W, C) or (N, C, H, W), with C 1 or 3",
        )
    if header.dtype != numpy.uint8 and header.dtype.kind != "f":
        raise DataError(
            f"array {name} of {archive.shown} has type {printable(str(header.dtype))}",
            do="Save pixels as uint8, or as floats from 0 to 1",
        )
    _, *sides = header.shape
    if layout == "none":
        return 1, sides[0], sides[1]
    return (sides[2], sides[0], sides[1]) if layout == "last" else (sides[0], sides[1], sides[2])


def _labels(archive: _Archive, name: str) -> torch.Tensor:
    """(N,) int64."""
    shape, kind = archive.header(name).shape, archive.header(name).dtype.kind
    if kind not in "iu" or not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)) or 0 in shape:
        raise DataError(f"array {name} of {archive.shown} is not one label per image", do="Save integers of shape (N,)")
    values = archive.array(name).reshape(-1)
    if values.min() < 0 or values.max() > 2**31:
        raise DataError(
            f"array {name} of {archive.shown} has labels from {values.min()} to {values.max()}",
            do="Number the classes from 0",
        )
    return torch.from_numpy(values.astype(numpy.int64))


def _classes(archive: _Archive, labels: torch.Tensor) -> tuple[str, ...]:
    if "classes" not in archive.members:
        found = labels.unique().tolist()
        if len(found) <= found[-1]:
            absent = next(label for label, present in enumerate(found) if label != present)
            raise DataError(
                f"there is no training image of class {absent}", do="Number the classes from 0, without gaps"
            )
        return tuple(map(str, found))
    header = archive.header("classes")
    if header.dtype.kind != "U" or len(header.shape) != 1:
        raise DataError(f"the array classes of {archive.shown} is not a list of names", do="Save an array of strings")
    return tuple(map(str, archive.array("classes")))


def _pixels(array: NDArray[Any]) -> torch.Tensor:
    """(N, C, H, W) uint8. Floats must be finite and in [0, 1]; they are rounded to 8 bits."""
    ordered = {"none": lambda: array[:, None], "first": lambda: array, "last": lambda: numpy.moveaxis(array, 3, 1)}
    images = ordered[_layout(array.shape)]()
    pixels = numpy.empty(images.shape, numpy.uint8)
    for start in range(0, len(images), _PIECE):
        piece = images[start : start + _PIECE]
        if piece.dtype != numpy.uint8:
            if not (piece.min() >= 0 and piece.max() <= 1):  # also where a value is NaN
                raise DataError("images have values that are not in 0 to 1", do="Scale them, and remove NaN")
            piece = numpy.rint(piece * 255)
        pixels[start : start + _PIECE] = piece
    return torch.from_numpy(pixels)


SOURCE = SourceKind(
    open_npz, "FILE: numpy arrays of images and labels", looks_like=lambda path: path.suffix.lower() == ".npz"
)
