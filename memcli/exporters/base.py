"""What every format of a recalled training set has in common."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from memcli.data.spec import DataSpec
from memcli.exporters.encoding import Encoding

MIXTURE = -1  # the hard label of an image whose query is not one-hot


@dataclass(frozen=True)
class RecalledChunk:
    """Some of the recalled images, on the CPU. An exporter writes a chunk and lets it go."""

    images: Tensor  # (n, C, H, W) float32, pixels in units of [0, 1], not clipped
    rows: Tensor  # (n,) int64, the addressing row of each image
    asked: Tensor  # (n, classes) float32, the label vector of the query that recalled each image
    labels: Tensor  # (n, classes) float32, the label vector of each image: the same, unless the memory learned its own

    def hard_labels(self) -> Tensor:
        """(n,) int64: the class that was asked for, and MIXTURE for every query that is not one-hot."""
        one_hot = (self.asked.count_nonzero(1) == 1) & (self.asked.amax(1) == 1)
        return torch.where(one_hot, self.asked.argmax(1), MIXTURE)

    def parts(self, size: int) -> "Iterator[RecalledChunk]":
        """The same images, at most `size` at a time."""
        for parts in zip(
            *(each.split(size) for each in (self.images, self.rows, self.asked, self.labels)), strict=True
        ):
            yield RecalledChunk(*parts)

    def __len__(self) -> int:
        return len(self.images)


class Exporter(ABC):
    """One file format.

    An exporter holds one chunk at a time, so that its memory does not grow with the number of images. Its output
    appears under `path` only when it is complete, and the same chunks give the same bytes.
    """

    suffix: ClassVar[str] = ""  # of a path that means this format, such as ".npz"; "": none does

    @abstractmethod
    def export(
        self,
        path: Path,
        data: DataSpec,
        chunks: Iterator[RecalledChunk],
        total: int,
        *,
        force: bool,
        memory_sha256: str = "",
    ) -> None:
        """Write the `total` images of `chunks` to `path`. Raises ExistsError where it exists and `force` is False.

        `memory_sha256`: the checksum of the memory that recalled them, to be told where the format has a place for it.
        """

    def most_bytes(self, data: DataSpec, total: int, weights: int) -> int:
        """The most bytes that `export` writes for so many images, whose label vectors hold at most `weights` weights.

        Here as four arrays (memcli.exporters.spool) and the names, which JSON writes longest.
        """
        del weights
        names = sum(len(json.dumps(name)) + 2 for name in data.classes)
        return total * (4 * data.floats_per_image + 4 * len(data.classes) + 16) + names


@dataclass(frozen=True)
class PictureExporter(Exporter):
    """A format that holds 8-bit pictures. It is told what their numbers stand for; None: [0, 1], and clipped to it."""

    encoding: Encoding | None = None

    def encoded(self, encoding: Encoding) -> Self:
        """The same format with that encoding."""
        return replace(self, encoding=encoding)

    def encoding_of(self, data: DataSpec) -> Encoding:
        return self.encoding or Encoding.clip(data.channels)
