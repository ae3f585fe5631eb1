"""One safetensors file: exact, and quick to load.

It holds the arrays of memcli.exporters.spool, and a manifest of kind "recalled" with the data set's spec.
"""

from collections.abc import Iterator
from pathlib import Path

from memcli.data.spec import DataSpec
from memcli.exporters.base import Exporter, RecalledChunk
from memcli.exporters.spool import spooled
from memcli.files import atomic, container

_DTYPES = {"<f4": "F32", "<i8": "I64"}


class Safetensors(Exporter):
    """One safetensors file."""

    suffix = ".safetensors"

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
        target = atomic.check_output(path, force)
        with atomic.explained(target), spooled(target.parent, data, chunks, total) as parts:
            stored = {name: (_DTYPES[part.kind], part.shape, part.file) for name, part in parts.items()}
            manifest = {"kind": "recalled", "data": data.to_json(), "memory_sha256": memory_sha256}
            container.write_files(path, stored, manifest, force=force)


EXPORTER = Safetensors()
