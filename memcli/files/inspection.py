"""Reads the manifest of a memory file without torch, after every check that a full read makes."""

from dataclasses import dataclass
from pathlib import Path

from memcli.files import container
from memcli.files.manifest import Manifest
from memcli.files.validation import DEFAULT_LIMITS, Limits, accept, verify


@dataclass(frozen=True)
class Inspection:
    """A valid file: its manifest, the checksum of its tensors (verified), its size on disk in bytes."""

    manifest: Manifest
    sha256: str
    file_bytes: int


def inspect(path: str | Path, limits: Limits = DEFAULT_LIMITS) -> Inspection:
    """Check the whole file. Raises MemoryFileError or LimitError, as `memcli.load` does."""
    with container.opened(path, file_bytes=limits.file_bytes, header_bytes=limits.header_bytes) as file:
        manifest = accept(file.header, limits)
        return Inspection(manifest, verify(file.header, manifest, file.payload()), file.header.file_bytes)
