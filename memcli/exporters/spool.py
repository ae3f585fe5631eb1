"""Recalled chunks as four arrays of bytes on disk, so that no format that wants whole arrays needs them in memory."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO

import numpy
from torch import Tensor

from memcli.data.spec import DataSpec
from memcli.exporters.base import RecalledChunk


@dataclass(frozen=True)
class Part:
    """One array: its bytes, row-major and little-endian, from the start of `file`."""

    kind: str  # as numpy writes it: "<f4" or "<i8"
    shape: tuple[int, ...]
    file: BinaryIO


@contextmanager
def spooled(
    folder: Path, data: DataSpec, chunks: Iterator[RecalledChunk], total: int, images: IO[bytes] | None = None
) -> Iterator[dict[str, Part]]:
    """Take up all chunks and yield the arrays by name, in files without a name in `folder`:

    images       (N, C, H, W) float32, pixels in units of [0, 1], not clipped
    labels       (N,) int64, the class that was asked for; -1 for an image of a generalised query
    soft_labels  (N, classes) float32, the label vectors to train with: learned ones, where the memory has them
    rows         (N,) int64, the addressing row of each image

    `images`: an open file that takes the images as they come; they are not among the arrays then.
    """
    with ExitStack() as files:
        parts = {
            name: Part(kind, (total, *shape), files.enter_context(TemporaryFile(dir=folder)))
            for name, kind, shape in (
                ("images", "<f4", data.shape),
                ("labels", "<i8", ()),
                ("soft_labels", "<f4", (len(data.classes),)),
                ("rows", "<i8", ()),
            )
        }
        if images is None:
            images = parts["images"].file
        else:
            del parts["images"]
        for chunk in chunks:
            _append(images, "<f4", chunk.images)
            _append(parts["labels"].file, parts["labels"].kind, chunk.hard_labels())
            _append(parts["soft_labels"].file, parts["soft_labels"].kind, chunk.labels)
            _append(parts["rows"].file, parts["rows"].kind, chunk.rows)
        for part in parts.values():
            part.file.flush()
            part.file.seek(0)
        yield parts


def _append(file: IO[bytes], kind: str, tensor: Tensor) -> None:
    file.write(numpy.ascontiguousarray(tensor.numpy(), kind).data.cast("B"))
