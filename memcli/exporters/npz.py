"""One uncompressed .npz file for numpy, written array after array without holding one.

    images       (N, C, H, W) float32, pixels in units of [0, 1], not clipped
    labels       (N,) int64, the class; -1 for an image of a generalised query
    soft_labels  (N, classes) float32, the label vectors
    rows         (N,) int64, the addressing row of each image
    classes      (classes,) text, the names

Every array loads with allow_pickle=False.
"""

import math
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy
from numpy.lib import format as npy
from torch import Tensor

from memcli import atomic
from memcli.exporters.base import Exporter, RecalledChunk
from memcli.spec import DataSpec

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date of a zip file, so that equal content gives equal bytes


class Npz(Exporter):
    """One file for numpy.

    A zip file takes one array at a time, so the images go straight into it while the labels, which are small, wait
    in temporary files of their own. All of them lie without a name in the folder of the output.
    """

    def export(self, path: Path, data: DataSpec, chunks: Iterator[RecalledChunk], total: int, *, force: bool) -> None:
        target = atomic.check_output(path, force)
        with atomic.explained(target), TemporaryFile(dir=target.parent) as file:
            with zipfile.ZipFile(file, "w") as archive:
                _write(archive, target.parent, data, chunks, total)
            file.flush()
            # Mapped and not read: however large the file, only the pages being copied are in memory.
            whole = mmap(file.fileno(), 0, access=ACCESS_READ)
            atomic.write_bytes(path, whole, force=force)  # type: ignore[arg-type]  # it takes any buffer


def _write(archive: zipfile.ZipFile, folder: Path, data: DataSpec, chunks: Iterator[RecalledChunk], total: int) -> None:
    with TemporaryFile(dir=folder) as labels, TemporaryFile(dir=folder) as soft, TemporaryFile(dir=folder) as rows:
        with _array(archive, "images", "<f4", (total, *data.shape)) as images:
            for chunk in chunks:
                images.write(_bytes(chunk.images, "<f4"))
                labels.write(_bytes(chunk.hard_labels(), "<i8"))
                soft.write(_bytes(chunk.labels, "<f4"))
                rows.write(_bytes(chunk.rows, "<i8"))
        for name, kind, shape, waiting in (
            ("labels", "<i8", (total,), labels),
            ("soft_labels", "<f4", (total, len(data.classes)), soft),
            ("rows", "<i8", (total,), rows),
        ):
            waiting.seek(0)
            with _array(archive, name, kind, shape) as entry:
                shutil.copyfileobj(waiting, entry)
    names = numpy.array(data.classes)
    with _array(archive, "classes", names.dtype.str, names.shape) as entry:
        entry.write(names.tobytes())


@contextmanager
def _array(archive: zipfile.ZipFile, name: str, kind: str, shape: tuple[int, ...]) -> Iterator[IO[bytes]]:
    """An open entry of `archive` that holds the npy header of an array and awaits its bytes, in C order."""
    entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
    entry.external_attr = 0o644 << 16
    entry.file_size = math.prod(shape) * numpy.dtype(kind).itemsize + 1024  # a bound: past 2 GiB it asks for zip64
    with archive.open(entry, "w") as file:
        npy.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
        yield file


def _bytes(tensor: Tensor, kind: str) -> bytes:
    return tensor.numpy().astype(kind, copy=False).tobytes()
