"""One file of plain tensors by `torch.save`, for programs that read nothing else, such as DD-Ranking.

A dict of the arrays of memcli.exporters.spool as tensors, and `classes`, the names. `torch.load(path)` reads it, which
unpickles tensors and plain values only. memcli writes such files and never reads them: the format is a pickle.
"""

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy
import torch

from memcli.data.spec import DataSpec
from memcli.exporters.base import Exporter, RecalledChunk
from memcli.exporters.spool import spooled
from memcli.files import atomic


class Pt(Exporter):
    """One file by `torch.save`: a dict of plain tensors. It is written, and never read."""

    suffix = ".pt"

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
        with atomic.new_file(path, force=force) as file, spooled(target.parent, data, chunks, total) as parts:
            tensors = {
                name: torch.from_numpy(numpy.memmap(part.file, part.kind, "r+", shape=part.shape))
                for name, part in parts.items()
            }
            try:
                torch.save({**tensors, "classes": list(data.classes)}, file)
            except RuntimeError as error:  # so torch's writer tells of a disk that fails
                raise OSError(errno.EIO, str(error)) from error


EXPORTER = Pt()
