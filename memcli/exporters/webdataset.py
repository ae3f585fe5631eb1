"""One shard of WebDataset: a tar file of samples, each a few files of one name.

    00000000.png   the picture, which clips values to [0, 1]: to look at
    00000000.npy   (C, H, W) float32, in units of [0, 1], not clipped: to train from
    00000000.cls   the number of the class that was asked for; -1 for an image of a generalised query
    00000000.json  {"class": its name, or null, "row": the addressing row, "soft_label": [a weight for each class]}

Before them `__memcli__/classes` holds the class names as a JSON list. WebDataset passes over such names, and so does
`datasets` over names without a suffix. Dates, owners and modes are constant, so that equal content gives equal bytes.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy
from numpy.lib import format as npy

from memcli.data.sources.webdataset import CLASSES
from memcli.data.spec import DataSpec
from memcli.exporters.base import MIXTURE, Exporter, RecalledChunk
from memcli.exporters.pictures import check_channels, most_png_bytes, png_files
from memcli.files import atomic

_WEIGHT = 26  # characters of a number in JSON, at most


class WebDataset(Exporter):
    """One shard of WebDataset: a tar file of PNGs, exact values and labels."""

    suffix = ".tar"

    def export(
        self,
        path: Path,
        data: DataSpec,
        chunks: Iterator[RecalledChunk],
        total: int,  # noqa: ARG002
        *,
        force: bool,
        memory_sha256: str = "",  # noqa: ARG002
    ) -> None:
        check_channels(data)
        with atomic.new_file(path, force=force) as shard:
            _add(shard, CLASSES, json.dumps(data.classes).encode())
            number = 0
            for chunk in chunks:
                for entries in _samples(chunk, data):
                    for suffix, content in entries.items():
                        _add(shard, f"{number:08d}.{suffix}", content)
                    number += 1
            shard.write(bytes(2 * tarfile.BLOCKSIZE))  # the end

    def most_bytes(self, data: DataSpec, total: int, weights: int) -> int:
        """Four files a sample, each with a header and in whole blocks."""
        del weights  # the vector is written whole
        names = [len(json.dumps(name)) for name in data.classes]
        told = max(names) + _WEIGHT * len(data.classes)
        sample = most_png_bytes(data) + 4 * data.floats_per_image + told + 9 * tarfile.BLOCKSIZE
        return total * sample + sum(names)


def _samples(chunk: RecalledChunk, data: DataSpec) -> Iterator[dict[str, bytes]]:
    """The files of each sample of `chunk`, by suffix."""
    labels, rows = chunk.hard_labels().tolist(), chunk.rows.tolist()
    for picture, pixels, label, row, soft_label in zip(
        png_files(chunk.images), chunk.images.numpy(), labels, rows, chunk.labels.numpy(), strict=True
    ):
        exact = io.BytesIO()
        npy.write_array(exact, numpy.ascontiguousarray(pixels, "<f4"), version=(1, 0))
        told = {
            "class": None if label == MIXTURE else data.classes[label],
            "row": row,
            "soft_label": [float(str(weight)) for weight in soft_label],  # the fewest digits that give it back
        }
        yield {
            "png": picture,
            "npy": exact.getvalue(),
            "cls": str(label).encode(),
            "json": json.dumps(told).encode(),
        }


def _add(shard: BinaryIO, name: str, content: bytes) -> None:
    """Append a file to the archive. A TarFile would remember every file that it writes."""
    entry = tarfile.TarInfo(name)  # of its date, owner and mode: 1970, 0 and 0o644
    entry.size = len(content)
    shard.write(entry.tobuf(tarfile.USTAR_FORMAT))
    shard.write(content + bytes(-len(content) % tarfile.BLOCKSIZE))


EXPORTER = WebDataset()
