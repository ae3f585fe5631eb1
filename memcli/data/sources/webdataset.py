"""`webdataset:PATTERN`: tar files of samples, each a few files of one name: an image, and a label in .cls or .json.

Nothing is unpickled or unpacked: the headers are read once, and an image's bytes when it is decoded.
"""

import glob
import io
import json
import re
import tarfile
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memcli.data.cache import checksum_of_files
from memcli.data.sources._assembly import of_pictures
from memcli.data.sources._decoding import Part
from memcli.data.sources._images import SUFFIXES, Picture
from memcli.data.sources._labels import Label
from memcli.data.sources._limits import MOST_ENCODED
from memcli.data.sources._splits import split_of
from memcli.data.sources._tree import files_below, told_apart
from memcli.data.sources.base import Request, Source, SourceKind, listed
from memcli.errors import DataError
from memcli.text import printable

CLASSES = "__memcli__/classes"  # the file of class names in a shard that memcli wrote
_NAME = re.compile(r"((?:.*/|)[^./][^./]*)\.([^/]*)")  # what a sample's files have in common, and the rest
_SKIPPED = re.compile(r"__[^/]*__(?:/|$)")  # as in the webdataset library
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")  # {000..012}, as webdataset writes many shards
_LABEL_KEYS = ("label", "cls", "class", "target")  # of a .json file
_MOST_TEXT, _MOST_SHARDS = 1 << 20, 100_000  # bytes of a label; files
_MOST_HEADER = 64 << 10  # bytes of what stands before a member: a name that is long, or fields of its own
_DIGITS = re.compile(rb"\d{30}")  # in a row: no size has so many, and some Pythons take minutes for 60,000
_BLOCK, _BLOCK_BYTES = 1024, 64 << 20  # images decoded together, and about how many bytes of them are in memory


class _Reader(io.BufferedReader):
    """A shard, of which tarfile reads the headers. Where one declares gigabytes of fields, tarfile would read them."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MOST_HEADER:
            raise ValueError(f"a header declares {size:,} bytes, and up to {_MOST_HEADER:,} are read")
        data = super().read(size)
        if size > tarfile.BLOCKSIZE and _DIGITS.search(data):
            raise ValueError("a header holds a number that is no size")
        return data

    def text(self, member: tarfile.TarInfo) -> str:
        """What is in a file of the shard."""
        if member.size > _MOST_TEXT:
            raise ValueError(f"{member.name} has {member.size} bytes, and labels up to {_MOST_TEXT} are read")
        self.seek(member.offset_data)
        return super().read(member.size).decode()


@dataclass
class _Sample:
    """One sample: where its image lies in the shard, and its label."""

    key: str
    images: dict[str, tuple[int, int]] = field(default_factory=dict)  # by suffix: the first byte, and how many
    label: Label = None
    has_cls: bool = False


@dataclass
class _Shard:
    """What is in a shard: of every sample with an image its key, its label, and where the image lies.

    There may be millions: equal labels are one object, and places are none.
    """

    path: Path
    name: str  # what it is called
    keys: list[str] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    places: "array[int]" = field(default_factory=lambda: array("q"))  # two numbers each: the first byte, and how many
    classes: tuple[str, ...] | None = None
    distinct: dict[Label, Label] = field(default_factory=dict)

    def take(self, sample: _Sample) -> None:
        """Add a sample, if it has an image. DataError where it has several."""
        simple = {suffix: place for suffix, place in sample.images.items() if "." not in suffix}
        images = simple if len(simple) == 1 else sample.images  # beside seg.png, png is the image
        if len(images) > 1:
            raise _unreadable(self.path, f"the sample {sample.key} has the images {listed(images)}, and one is read")
        for place in images.values():
            self.keys.append(sample.key)
            self.labels.append(self.distinct.setdefault(sample.label, sample.label))
            self.places.extend(place)


def open_webdataset(rest: str, request: Request) -> Source:
    """Local .tar files: a folder, a file, a glob, or a range such as train-{000..012}.tar.

    A shard's split is what its name says, or a folder's on the way to it; where none says any, all make one set.
    """
    files: dict[str, list[Path]] = {}
    paths = _paths(rest)
    root = Path(rest) if Path(rest).is_dir() else None
    named = {
        path: split_of(*(path.relative_to(root).with_suffix("").parts if root else (path.stem,))) for path in paths
    }
    names = told_apart(paths)
    notes = []
    if any(named.values()) and not all(named.values()):
        unnamed = [path.name for path, split in named.items() if split is None]
        notes.append(f"files that are not read: {listed(unnamed)}")
        named = {path: split for path, split in named.items() if split}
    for path, split in named.items():
        files.setdefault(split or "train", []).append(path)
    seen = {split: checksum_of_files(group) for split, group in files.items()}
    shards = {split: [_read(path, names[path]) for path in group] for split, group in files.items()}
    classes = {shard.classes for group in shards.values() for shard in group}
    if len(classes) > 1:
        raise DataError("the shards name different classes", do="Give the shards of one data set")
    parts = {split: _part(group, seen[split]) for split, group in shards.items()}
    return of_pictures(printable(paths[0].resolve().parent.name), parts, request, names=classes.pop(), notes=notes)


def _part(shards: Sequence[_Shard], seen: str) -> Part:
    def pictures(wanted: Tensor) -> Iterator[list[Picture]]:
        first = 0
        for shard in shards:
            chosen = torch.nonzero(wanted[first : first + len(shard.keys)]).flatten()
            first += len(shard.keys)
            yield from _blocks(shard, chosen)

    labels = [label for shard in shards for label in shard.labels]
    return Part(labels, pictures, [shard.path for shard in shards], seen)


def _blocks(shard: _Shard, chosen: Tensor) -> Iterator[list[Picture]]:
    """The images of the samples numbered `chosen`, some at a time."""
    block: list[Picture] = []
    size = 0
    with shard.path.open("rb") as file:
        for number in map(int, chosen):
            begin, length = shard.places[2 * number : 2 * number + 2]
            file.seek(begin)
            block.append(Picture(f"{shard.keys[number]} of {shard.name}", file.read(length)))
            size += length
            if len(block) == _BLOCK or size > _BLOCK_BYTES:
                yield block
                block, size = [], 0
    yield block


def _paths(rest: str) -> list[Path]:
    """The shards that `rest` names, in order."""
    folder = Path(rest)
    if rest and folder.is_dir():
        return _required(files_below(folder, (".tar",)), rest)
    braces = _BRACES.search(rest)
    if braces is None:
        return _required(sorted(path for path in map(Path, glob.glob(rest)) if path.is_file()), rest)
    low, high, width = int(braces[1]), int(braces[2]), len(braces[1])
    if not low <= high < low + _MOST_SHARDS:
        raise DataError(
            f"the range {braces[0]} is of no use", do=f"Give up to {_MOST_SHARDS:,} numbers, the least first"
        )
    paths = [Path(f"{rest[: braces.start()]}{n:0{width}d}{rest[braces.end() :]}") for n in range(low, high + 1)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"there is no shard {listed(missing)}", do="Check the range, or download them")
    return paths


def _required(paths: list[Path], rest: str) -> list[Path]:
    if not paths:
        raise DataError(f"there are no .tar files at {printable(rest)!r}", do="Check the path after webdataset:")
    return paths


def _read(path: Path, name: str) -> _Shard:
    """The samples of a shard, called `name`, that hold an image, in their order."""
    shard, sample = _Shard(path, name), _Sample("")
    try:
        size = path.stat().st_size
        with _Reader(io.FileIO(path)) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            while (member := archive.next()) is not None:
                if member.size < 0 or member.offset_data + member.size > size:  # the first would have no end
                    raise ValueError(f"the size of {member.name} is not its size")
                archive.members.clear()  # type: ignore[attr-defined] # or tarfile keeps them all
                if member.name == CLASSES:
                    shard.classes = _class_names(file.text(member), path)
                elif member.isreg() and not member.issparse() and not _SKIPPED.match(member.name):
                    if (match := _NAME.fullmatch(member.name)) is None:
                        continue
                    if match[1] != sample.key:
                        shard.take(sample)
                        sample = _Sample(match[1])
                    _take(file, member, match[2].lower(), sample)
    except (tarfile.TarError, ValueError, EOFError, RecursionError, MemoryError, OverflowError) as error:
        raise _unreadable(path, str(error)) from error
    shard.take(sample)
    if not shard.keys:
        raise _unreadable(path, "it holds no samples with an image")
    return shard


def _take(file: _Reader, member: tarfile.TarInfo, suffix: str, sample: _Sample) -> None:
    """Put one file of a shard to its sample: an image, a label, or nothing that is read."""
    if f".{suffix.rpartition('.')[2]}" in SUFFIXES:
        if member.size > MOST_ENCODED:
            raise ValueError(
                f"{member.name} has {member.size >> 20} MiB, and images up to {MOST_ENCODED >> 20} are read"
            )
        sample.images[suffix] = (member.offset_data, member.size)
    elif suffix == "cls":
        sample.label, sample.has_cls = _label(file.text(member).strip()), True
    elif suffix == "json" and not sample.has_cls:
        sample.label = _label_of_json(json.loads(file.text(member)), member.name)


def _label(text: str) -> Label:
    """A number, or else a name."""
    number = re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII)
    return int(text) if number else unicodedata.normalize("NFC", text) or None


def _label_of_json(value: Any, name: str) -> Label:
    if isinstance(value, dict):
        value = next((value[key] for key in _LABEL_KEYS if key in value), None)
    if isinstance(value, str):
        return _label(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError(f"the label of {name} is neither a name nor a whole number")


def _class_names(text: str, path: Path) -> tuple[str, ...]:
    names = json.loads(text)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise _unreadable(path, f"{CLASSES} is not a list of names")
    return tuple(names)


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(f"{printable(path.name)} cannot be read: {printable(reason)}", do="Download or write it again")


def _is_shards(path: Path) -> bool:
    return any(path.glob("*.tar")) if path.is_dir() else path.suffix.lower() == ".tar"


SOURCE = SourceKind(
    open_webdataset,
    "FOLDER, FILE, GLOB or RANGE of .tar files: images with .cls or .json",
    resizes=True,
    looks_like=_is_shards,
)
