"""`idx:DIR`: MNIST's own files, and those of the sets that came after it: KMNIST, FashionMNIST, EMNIST, QMNIST.

An IDX file is 0, 0, the type of its numbers, the number of its sides, each side in 4 bytes (big-endian), then the
numbers in row-major order. Only bytes are read. What a file declares is checked before anything is allocated.

http://yann.lecun.com/exdb/mnist/ (the format, at the page's end)
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy
import torch
from numpy.typing import NDArray

from memcli.data.images import LabelledImages
from memcli.data.sources._assembly import arranged
from memcli.data.sources._labels import plain
from memcli.data.sources._limits import require_count, require_room
from memcli.data.sources._splits import split_of
from memcli.data.sources.base import Request, Source, SourceKind, listed
from memcli.errors import DataError
from memcli.text import printable

_BYTES = 0x08  # the type of unsigned bytes
_PIECE = 1 << 20  # bytes read at a time: a small file that declares gigabytes costs no more than it holds
_TEST = "t10k"  # MNIST's name of its test split


def open_idx(rest: str, _: Request) -> Source:
    """DIR/train-images-idx3-ubyte with train-labels-idx1-ubyte, and t10k-* or *test*; each may end in .gz.

    DIR/PREFIX chooses the files whose names begin with PREFIX, where a folder holds several sets, as EMNIST's does.
    """
    pairs = _pairs(Path(rest))
    sides = {split: _sides(images, 3) for split, (images, _) in pairs.items()}
    for split, (images, labels) in pairs.items():
        (count,) = _sides(labels, 1)
        if count != sides[split][0]:
            raise DataError(
                f"{printable(images.name)} has {sides[split][0]} images and {printable(labels.name)} {count} labels",
                do="Give the files of one data set",
            )
    stored = {split: plain(_numbers(labels, 1), printable(labels.name)) for split, (_, labels) in pairs.items()}
    plan = arranged(stored)
    part, _mask = plan.chosen.get("train", plan.chosen["test"])

    def load(split: str) -> LabelledImages:
        part, mask = plan.chosen[split]
        pixels = torch.from_numpy(_numbers(pairs[part][0], 3)).unsqueeze(1)  # (N, 1, H, W)
        found = LabelledImages(pixels, plan.labels[part])
        return found if mask.all() else found.subset(torch.nonzero(mask).flatten())

    name = printable(next(iter(pairs.values()))[0].resolve().parent.name)
    shape = (1, sides[part][1], sides[part][2])
    return Source(name, plan.classes, shape, load, plan.notes, splits=tuple(plan.chosen), cut=plan.cut)


def _pairs(path: Path) -> dict[str, tuple[Path, Path]]:
    """The files of images and of labels of each part."""
    folder, prefix = (path, "") if path.is_dir() else (path.parent, path.name)
    if not folder.is_dir():
        raise DataError(f"there is no folder {printable(str(folder))!r}", do="Check the path after idx:")
    by_name = {
        file.name.removesuffix(".gz"): file  # where there are both, the one that sorts last: the unpacked one
        for file in sorted(folder.iterdir(), key=lambda file: (file.suffix != ".gz", file.name))
        if file.name.startswith(prefix) and "idx" in file.name and file.is_file()
    }
    pairs: dict[str, tuple[Path, Path]] = {}
    for name, file in sorted(by_name.items()):
        if "images" not in name:
            continue
        partner = name.replace("images", "labels").replace("idx3", "idx1")
        if partner not in by_name:
            raise DataError(f"{printable(name)} has no file of labels beside it", do=f"Add {printable(partner)}")
        part = "test" if _TEST in name else split_of(name) or "train"
        if part in pairs:
            raise DataError(
                f"{printable(str(folder))} holds several sets: {listed([pairs[part][0].name, file.name])}",
                do="Write how the names of one set begin, such as idx:DIR/emnist-letters",
            )
        pairs[part] = (file, by_name[partner])
    if not pairs:
        raise DataError(
            f"there are no IDX files at {printable(str(path))!r}",
            do="Give the folder that holds train-images-idx3-ubyte, packed by gzip or not",
        )
    return pairs


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _sides(path: Path, expected: int) -> tuple[int, ...]:
    """The sides that the file declares, `expected` of them."""
    with _opened(path) as file:
        return _header(file, path, expected)


def _header(file: BinaryIO, path: Path, expected: int) -> tuple[int, ...]:
    size = 4 + 4 * expected
    try:
        head = file.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from error
    if len(head) < size or head[:2] != b"\0\0" or head[2:4] != bytes((_BYTES, expected)):
        raise _damaged(path, f"it is no IDX file of bytes with {expected} side{'s' * (expected > 1)}")
    sides = struct.unpack(f">{expected}I", head[4:])
    require_count(sides[0], path.name)
    if not all(sides[1:]):
        raise _damaged(path, "it declares images without pixels")
    require_room(math.prod(sides), f"the numbers that {printable(path.name)} declares would")
    return sides


def _numbers(path: Path, expected: int) -> NDArray[numpy.uint8]:
    """All numbers of the file, in the shape that it declares."""
    with _opened(path) as file:
        sides = _header(file, path, expected)
        needed, data = math.prod(sides), bytearray()
        try:
            while len(data) <= needed and (piece := file.read(min(_PIECE, needed + 1 - len(data)))):
                data += piece
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(path, str(error)) from error
    if len(data) != needed:
        raise _damaged(path, f"it declares {needed} bytes and has {'more' if len(data) > needed else len(data)}")
    return numpy.frombuffer(data, numpy.uint8).reshape(sides)


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"{printable(path.name)} cannot be read: {printable(reason)}", do="Download it again")


SOURCE = SourceKind(
    open_idx,
    "DIR: MNIST's own files, packed by gzip or not",
    looks_like=lambda path: path.is_dir() and any(path.glob("*images-idx3-ubyte*")),
)
