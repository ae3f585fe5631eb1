"""Decoding all images of a split, into memory or, where they are many, into a cache on disk that later runs use too."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from memcli.data.cache import Cached, Contents, Damaged, checksum_of_files, folder_of
from memcli.data.images import LabelledImages
from memcli.data.sources._images import Damage, Picture, decode, empty
from memcli.data.sources._labels import Label
from memcli.data.sources._limits import stay_in_memory
from memcli.data.sources.base import Request, Shape
from memcli.errors import DataError
from memcli.text import printable


@dataclass(frozen=True)
class Part:
    """One split as it was found: "train", "val" or "test"."""

    labels: Sequence[Label]
    pictures: Callable[[Tensor], Iterator[Sequence[Picture]]]  # those where (N,) bool is true, in order, some at a time
    files: Iterable[Path]  # that hold them
    seen: str = ""  # their checksum before the labels were read, where these are in the same files; "": they are not


@dataclass(frozen=True)
class Split:
    """What a source's split is made of: a part, and which of its images, (N,) bool."""

    source: str
    name: str
    part: Part
    wanted: Tensor


class _Place(Protocol):
    """Where images are decoded to, one after the other."""

    done: int

    def room(self, count: int) -> NDArray[numpy.uint8]:
        """Where to put the next images."""

    def keep(self, images: NDArray[Any], damaged: Damaged, *, lasts: bool) -> None:
        """They are there; those that are `damaged` are not images, and `lasts` says whether they never will be."""


class _Memory:
    """Room for `count` images in memory, or LimitError."""

    def __init__(self, count: int, shape: Shape) -> None:
        self.pixels, self.done = empty(count, shape), 0
        self.damaged: Damaged = []

    def room(self, count: int) -> NDArray[numpy.uint8]:
        return self.pixels[self.done : self.done + count]

    def keep(self, images: NDArray[Any], damaged: Damaged, *, lasts: bool) -> None:
        del lasts
        self.done += len(images)
        self.damaged += damaged


def decoded(split: Split, shape: Shape, labels: Tensor, request: Request, damage: Damage) -> LabelledImages:
    """Those images of a split that can be read, made to fit `shape`, with their `labels`, (n,); `damage` is told of
    the others.

    They are in memory, or in the cache where that is asked for, or where they are more than stay in memory.
    """
    pixels, lost = _pixels(split, shape, len(labels), request, damage)
    images = LabelledImages(pixels, labels)
    if not lost:
        return images
    good = torch.ones(len(labels), dtype=torch.bool)
    for number, name, reason in lost:
        damage.reasons.setdefault(name, reason)
        good[number] = False
    if not good.any():
        raise damage.error()
    return images.subset(torch.nonzero(good).flatten())


def _pixels(split: Split, shape: Shape, count: int, request: Request, damage: Damage) -> tuple[Any, Damaged]:
    """The images, (n, C, H, W) uint8, and which of them could not be read."""
    if split.part.seen and split.part.seen != checksum_of_files(split.part.files):
        raise _changed()  # or labels would be those of other images, and a cache keep what is at their places now
    if request.cache is None and stay_in_memory(count, shape):
        place = _Memory(count, shape)
        _fill(place, split, count, request, damage)
        return torch.from_numpy(place.pixels), place.damaged
    progress = request.progress
    progress.busy("checking decoded images")
    cached = Cached(request.cache or folder_of(None), _contents(split, shape, count, request))
    progress.busy("")
    shown, size = printable(str(cached.folder)), f"{cached.contents.bytes / 2**20:,.0f} MiB"
    if cached.is_complete:
        progress.note(f"{split.name}: {count:,} images, {size}, were decoded before and are read from {shown}")
    else:
        progress.note(f"{split.name}: {count:,} images, {size}, are decoded once into {shown}")
        with cached.filling() as filling:
            _fill(filling, split, count, request, damage)
    return cached.pixels(), cached.damaged


def _contents(split: Split, shape: Shape, count: int, request: Request) -> Contents:
    files = checksum_of_files(split.part.files)
    chosen = hashlib.sha256(numpy.packbits(split.wanted.numpy()).tobytes()).hexdigest()
    decoder = f"Pillow {PIL.__version__}"
    return Contents(split.source, split.name, count, shape, request.fit, files, chosen, decoder)


def _fill(place: _Place, split: Split, count: int, request: Request, damage: Damage) -> None:
    """Decode those of the `count` images that `place` does not have yet."""
    left = split.wanted.clone()
    left[torch.nonzero(left).flatten()[: place.done]] = False
    request.progress.begin(f"reading {split.name}", count, "images", place.done)
    for pictures in split.part.pictures(left):
        images = place.room(len(pictures))
        good = decode(pictures, images, damage, request.fit)
        names = [(number, pictures[number].name) for number in numpy.flatnonzero(~good).tolist()]
        lasts = not any(name in damage.unread for _, name in names)
        place.keep(images, [(place.done + number, name, damage.reasons[name]) for number, name in names], lasts=lasts)
        request.progress.update(place.done)
    request.progress.end()
    if place.done != count:
        raise _changed()


def _changed() -> DataError:
    return DataError("the files changed while they were read", do="Read them when nothing writes to them")
