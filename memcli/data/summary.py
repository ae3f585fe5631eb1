"""What a source holds, in a few lines that stand at the beginning of every run."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from memcli.data.images import LabelledImages
from memcli.data.sources.base import SPLITS, DamagedError, Shape, Source, held_out, listed
from memcli.errors import DataError

_UNEVEN = 2.0  # from this ratio on, classes are called uneven
_MOST_NAMES = 10


@dataclass(frozen=True)
class Summary:
    """A source in figures: classes, images of each, sizes, and test images that are in train too."""

    name: str
    shape: Shape
    classes: tuple[str, ...]
    images: dict[str, tuple[int, ...]]  # of each class, by "train", "validation" and "test"
    sizes: str  # that were found, and what is done to them; "" where they are kept
    duplicates: int | None  # test images whose pixels are those of a training image; None where a split is missing
    damaged: tuple[str, ...]  # images that cannot be read and were left out, by name
    unreadable: str = ""  # why the test split cannot be read, where it cannot

    @property
    def imbalance(self) -> float:
        """How many times as many images to learn from the largest class has as the smallest."""
        counts = next(iter(self.images.values()), (1,))
        return max(counts) / max(min(counts), 1)

    def lines(self) -> list[tuple[str, str]]:
        """The figures for people, as (name, value)."""
        shape = f"{'x'.join(map(str, self.shape))} (channels, height, width)"
        lines = [
            ("classes", f"{len(self.classes)}: {listed(self.classes, _MOST_NAMES)}"),
            ("images", ", ".join(f"{split} {_counted(counts)}" for split, counts in self.images.items())),
            ("size", f"{shape}; {self.sizes}" if self.sizes else shape),
        ]
        if self.imbalance >= _UNEVEN:
            lines.append(("uneven", self._uneven()))
        if self.duplicates:
            lines.append(("duplicates", f"{self.duplicates:,} test images are in train too, pixel by pixel"))
        if self.damaged:
            lines.append(("left out", f"{len(self.damaged):,} damaged images: {listed(self.damaged)}"))
        if self.unreadable:
            lines.append(("test", f"cannot be read: {self.unreadable}"))
        return lines

    def _uneven(self) -> str:
        counts = next(iter(self.images.values()))
        least, most = (counts.index(end(counts)) for end in (min, max))
        return (
            f"{listed([self.classes[most]])} has {counts[most]:,} images and {listed([self.classes[least]])}"
            f" {counts[least]:,}"
        )


def summary(source: Source, seed: int, holdout: float = 0.1) -> Summary:
    """What `source` holds, where a share `holdout` of train is set apart for validation by `seed`; 0: none is.

    Both splits are read. Raises DataError where train cannot be, and where more images of both are damaged than may be
    left out; a test split that cannot be read for another reason is told in the summary.
    """
    images: dict[str, tuple[int, ...]] = {}
    read: dict[str, LabelledImages] = {}
    unreadable = ""
    for name in SPLITS:
        if name not in source.splits:
            continue
        try:
            split = source.split(name)
        except DataError as error:
            if name == "train" or isinstance(error, DamagedError):
                raise
            unreadable = error.what
            continue
        read[name] = split
        images |= _cut(split.labels, len(source.classes), seed, holdout) if name == "train" else {}
        if name == "test":
            images[name] = _of_each(split.labels, len(source.classes))
    duplicates = _twins(read["train"], read["test"]) if len(read) == len(SPLITS) else None
    return Summary(
        source.name, source.shape, source.classes, images, source.sizes, duplicates, source.left_out(), unreadable
    )


def _cut(labels: Tensor, classes: int, seed: int, share: float) -> dict[str, tuple[int, ...]]:
    """The images of each class in train, and in validation where some can be set apart."""
    try:
        parts = held_out(labels, seed, share) if share else ()
    except DataError:  # one image of each class: distilling says so
        parts = ()
    if not parts:
        return {"train": _of_each(labels, classes)}
    return {name: _of_each(labels[part], classes) for name, part in zip(("train", "validation"), parts, strict=True)}


def _of_each(labels: Tensor, classes: int) -> tuple[int, ...]:
    return tuple(torch.bincount(labels, minlength=classes).tolist())


def _counted(counts: Sequence[int]) -> str:
    """`1,800`, and how many of each class where there are several classes."""
    least, most = min(counts), max(counts)
    return (
        f"{sum(counts):,} ({least:,} of each)" if least == most else f"{sum(counts):,} ({least:,} to {most:,} of each)"
    )


def _twins(train: LabelledImages, test: LabelledImages) -> int:
    """How many test images have the pixels of a training image."""
    return int(numpy.isin(_digests(test), _digests(train)).sum())


def _digests(images: LabelledImages) -> NDArray[numpy.uint64]:
    """A checksum of the pixels of each image, (N,): of two that differ it is the same once in 2^64 times."""
    digests, done = numpy.empty(len(images), numpy.uint64), 0
    for piece in images.pieces():
        for image in piece.contiguous().flatten(1).numpy():
            digests[done] = int.from_bytes(hashlib.blake2b(image.data, digest_size=8).digest())
            done += 1
    return digests
