"""One safetensors file: exact, and quick to load.

    images       (N, C, H, W) float32, pixels in units of [0, 1], not clipped
    labels       (N,) int64, the class; -1 for an image of a generalised query
    soft_labels  (N, classes) float32, the label vectors
    rows         (N,) int64, the addressing row of each image

The manifest, of kind "recalled", holds the data set's spec. Unlike the other formats this one is collected in memory,
since the checksum of the tensors stands before them in the file; so it is limited to what a reader accepts.
"""

from collections.abc import Iterator
from pathlib import Path

import torch

from memcli import atomic, tensorfile
from memcli.errors import LimitError
from memcli.exporters.base import Exporter, RecalledChunk
from memcli.spec import DataSpec


class Safetensors(Exporter):
    """One safetensors file, of at most 1 GiB."""

    def export(self, path: Path, data: DataSpec, chunks: Iterator[RecalledChunk], total: int, *, force: bool) -> None:
        atomic.check_output(path, force)
        size = total * 4 * (data.floats_per_image + len(data.classes) + 4)  # 4: two int64
        if size > tensorfile.FILE_BYTES - tensorfile.HEADER_BYTES:
            raise LimitError(
                f"{total} images need {size} bytes, more than the {tensorfile.FILE_BYTES} that such a file may have",
                do="Use --format npz, or ask for fewer images by --per-class or --query",
            )
        tensors = {
            "images": torch.empty(total, *data.shape),
            "labels": torch.empty(total, dtype=torch.int64),
            "soft_labels": torch.empty(total, len(data.classes)),
            "rows": torch.empty(total, dtype=torch.int64),
        }
        start = 0
        for chunk in chunks:
            here = slice(start, start + len(chunk))
            tensors["images"][here] = chunk.images
            tensors["labels"][here] = chunk.hard_labels()
            tensors["soft_labels"][here] = chunk.labels
            tensors["rows"][here] = chunk.rows
            start += len(chunk)
        tensorfile.write(path, tensors, {"kind": "recalled", "data": data.to_json()}, force=force)
