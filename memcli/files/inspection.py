"""Reads the manifest of a memory file without torch: after every check of a full read, or of the header alone."""

from dataclasses import dataclass
from pathlib import Path

from memcli.files import container, identity
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.manifest import Manifest
from memcli.files.validation import accept, verify


@dataclass(frozen=True)
class Inspection:
    """A valid file: its manifest, its checksum, its size on disk in bytes, the number of its format.

    The checksum of a file of format 1 is that of its tensors alone. Where the file is not `verified`, its numbers were
    not read, and the checksum is what it tells of itself; whoever reads the file whole compares it.
    """

    manifest: Manifest
    sha256: str
    file_bytes: int
    format: int
    verified: bool = True

    @property
    def checksum(self) -> str:
        """What its checksum is called."""
        return "sha256" if self.format > 1 else "sha256 of its tensors"


def inspect(path: str | Path, limits: Limits = DEFAULT_LIMITS, *, expect_sha256: str | None = None) -> Inspection:
    """Check the whole file. Raises MemoryFileError or LimitError, as `memcli.load` does.

    `expect_sha256`: the checksum that it must have. Warns (MemoryFileWarning) where the file is of an old format, and
    its checksum covers less than all.
    """
    with container.opened(path, file_bytes=limits.max_file, header_bytes=limits.max_header) as file:
        return inspected(file, limits, expect_sha256)[0]


def glance(path: str | Path, limits: Limits, *, most: int) -> Inspection:
    """What `inspect` tells; of a file of more than `most` bytes from its header alone, and then it is not verified."""
    with container.opened(path, file_bytes=limits.max_file, header_bytes=limits.max_header) as file:
        if file.header.file_bytes <= most:
            return inspected(file, limits, None)[0]
        manifest, header = accept(file.header, limits), file.header
        sha256, number = identity.told(header), identity.format_of(header.manifest)
        identity.warn(header.manifest, file.shown, None)
        return Inspection(manifest, sha256, header.file_bytes, number, verified=False)


def inspect_content(
    path: str | Path, limits: Limits = DEFAULT_LIMITS, *, expect_sha256: str | None = None
) -> tuple[Inspection, bytes]:
    """The same, and the whole file, as the very bytes that were checked."""
    with container.opened(path, file_bytes=limits.max_file, header_bytes=limits.max_header) as file:
        found, payload = inspected(file, limits, expect_sha256)
        return found, file.content(payload)


def inspected(file: container.OpenFile, limits: Limits, expect_sha256: str | None) -> tuple[Inspection, bytes]:
    """The same of a file that is open, and the bytes of its tensors, which were checked."""
    manifest = accept(file.header, limits)
    payload = file.payload()
    sha256 = verify(file, manifest, payload, expect_sha256)
    number = identity.format_of(file.header.manifest)
    return Inspection(manifest, sha256, file.header.file_bytes, number), payload
