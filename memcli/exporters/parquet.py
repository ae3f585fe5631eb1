"""Parquet as Hugging Face `datasets` reads and writes it: one file, or a folder that `load_dataset` opens.

    image       {"bytes": a PNG file, "path": null}, which clips values to [0, 1]: to look at
    label       int64, the class that was asked for, by ClassLabel with the names; -1 for one of a generalised query
    pixels      (C, H, W) float32, in units of [0, 1], not clipped: to train from
    soft_label  (classes,) float32, the label vector to train with: learned, where the memory has learned ones
    row         int64, the addressing row

A path that ends in .parquet is a file. Another is a folder that holds `train-00000-of-00001.parquet`.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import torch

from memcli.data.spec import DataSpec
from memcli.exporters.base import Exporter, RecalledChunk
from memcli.exporters.pictures import check_channels, most_png_bytes, png_files
from memcli.exporters.spool import Part, spooled
from memcli.files import atomic

_GROUP = 4 << 20  # bytes of pixels in a row group, which is what is in memory at a time
_SHARD = "train-00000-of-00001.parquet"


class Parquet(Exporter):
    """One file, or a folder, for Hugging Face `datasets`: PNGs, exact values, class names."""

    suffix = ".parquet"

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
        check_channels(data)
        if path.suffix.lower() == self.suffix:
            target = atomic.check_output(path, force)
            with atomic.new_file(path, force=force) as file:
                _write(file, target.parent, data, chunks, total)
            return
        with atomic.new_folder(path, force=force) as folder:
            with (folder / _SHARD).open("wb") as file:
                _write(file, folder, data, chunks, total)
            told = {"kind": "recalled", "images": total, "memory_sha256": memory_sha256, "data": data.to_json()}
            atomic.mark(folder, told)

    def most_bytes(self, data: DataSpec, total: int, weights: int) -> int:
        """The arrays, which grow by a sixth where no number stands twice, and a picture of each image."""
        return 6 * super().most_bytes(data, total, weights) // 5 + (1 << 20) + total * most_png_bytes(data)


def _write(file: BinaryIO, folder: Path, data: DataSpec, chunks: Iterator[RecalledChunk], total: int) -> None:
    from pyarrow.parquet import ParquetWriter

    schema = _schema(data)
    rows = max(1, _GROUP // (4 * data.floats_per_image))
    with spooled(folder, data, chunks, total) as parts, ParquetWriter(file, schema) as writer:
        for start in range(0, total, rows):
            count = min(rows, total - start)
            writer.write_table(_group({name: _read(part, count) for name, part in parts.items()}, schema))


def _read(part: Part, count: int) -> numpy.ndarray:
    """The next `count` entries of a part."""
    shape = (count, *part.shape[1:])
    size = int(numpy.prod(shape)) * numpy.dtype(part.kind).itemsize
    return numpy.frombuffer(bytearray(part.file.read(size)), part.kind).reshape(shape)


def _group(arrays: Mapping[str, numpy.ndarray], schema: Any) -> Any:
    """A pyarrow table of the arrays of memcli.exporters.spool."""
    import pyarrow as pa

    images, soft_labels = arrays["images"], arrays["soft_labels"]
    pixels = pa.array(images.ravel())
    for axis in (3, 2, 1):
        lengths = images.shape[axis]
        pixels = pa.ListArray.from_arrays(pa.array(numpy.arange(0, len(pixels) + 1, lengths, dtype="<i4")), pixels)
    files = pa.array([file.tobytes() for file in png_files(torch.from_numpy(images))], pa.binary())
    columns = {
        "image": pa.StructArray.from_arrays([files, pa.nulls(len(files), pa.string())], ["bytes", "path"]),
        "label": pa.array(arrays["labels"]),
        "pixels": pixels,
        "soft_label": pa.FixedSizeListArray.from_arrays(pa.array(soft_labels.ravel()), soft_labels.shape[1]),
        "row": pa.array(arrays["rows"]),
    }
    return pa.table(columns, schema=schema)


def _schema(data: DataSpec) -> Any:
    """The columns, with the description of them that `datasets` looks for."""
    import pyarrow as pa

    real = {"dtype": "float32", "_type": "Value"}
    features = {
        "image": {"_type": "Image"},
        "label": {"names": list(data.classes), "_type": "ClassLabel"},
        "pixels": {"shape": list(data.shape), "dtype": "float32", "_type": "Array3D"},
        "soft_label": {"feature": real, "length": len(data.classes), "_type": "Sequence"},  # "List" only from 4.0 on
        "row": {"dtype": "int64", "_type": "Value"},
    }
    types = {
        "image": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        "label": pa.int64(),
        "pixels": pa.list_(pa.list_(pa.list_(pa.float32()))),
        "soft_label": pa.list_(pa.float32(), len(data.classes)),
        "row": pa.int64(),
    }
    return pa.schema(types, metadata={"huggingface": json.dumps({"info": {"features": features}})})


EXPORTER = Parquet()
