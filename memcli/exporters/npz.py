"""One uncompressed .npz file for numpy.

It holds the arrays of memcli.exporters.spool, and `classes`, the names as text. All load with allow_pickle=False.
"""

import math
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy
from numpy.lib import format as npy

from memcli.data.spec import DataSpec
from memcli.exporters.base import Exporter, RecalledChunk
from memcli.exporters.spool import spooled
from memcli.files import atomic

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date of a zip file, so that equal content gives equal bytes


class Npz(Exporter):
    """One file for numpy."""

    suffix = ".npz"

    def export(
        self,
        path: Path,
        data: DataSpec,
        chunks: Iterator[RecalledChunk],
        total: int,
        *,
        force: bool,
        memory_sha256: str = "",  # noqa: ARG002
    ) -> None:
        target = atomic.check_output(path, force)
        with (
            atomic.new_file(path, force=force) as file,
            zipfile.ZipFile(file, "w") as archive,
            ExitStack() as stack,
        ):
            with _array(archive, "images", "<f4", (total, *data.shape)) as entry:
                parts = stack.enter_context(spooled(target.parent, data, chunks, total, images=entry))
            for name, part in parts.items():
                with _array(archive, name, part.kind, part.shape) as entry:
                    shutil.copyfileobj(part.file, entry)
            names = numpy.array(data.classes)
            with _array(archive, "classes", names.dtype.str, names.shape) as entry:
                entry.write(names.tobytes())

    def most_bytes(self, data: DataSpec, total: int, weights: int) -> int:
        """Each name is as long as the longest, in four bytes a character."""
        names = 4 * len(data.classes) * max(map(len, data.classes))
        return super().most_bytes(data, total, weights) + names


@contextmanager
def _array(archive: zipfile.ZipFile, name: str, kind: str, shape: tuple[int, ...]) -> Iterator[IO[bytes]]:
    """An open entry of `archive` that holds the npy header of an array and awaits its bytes, in C order."""
    entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
    entry.external_attr = 0o644 << 16
    entry.file_size = math.prod(shape) * numpy.dtype(kind).itemsize + 1024  # a bound: past 2 GiB it asks for zip64
    with archive.open(entry, "w") as file:
        npy.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
        yield file


EXPORTER = Npz()
