"""What a stranger's file may cost: limits for readers, and for the commands that work on what they read. No torch."""

import math
from dataclasses import dataclass

from memcli.data.spec import DataSpec
from memcli.errors import LimitError
from memcli.files.container import FILE_BYTES, HEADER_BYTES
from memcli.memory.spec import MemorySpec

_NONE = 2**63 - 1  # a limit that nothing reaches


@dataclass(frozen=True)
class Limits:
    """The limits. A small file may ask for much: what it asks for is counted first, and refused above these.

    The flags `--max-bytes`, `--max-seconds`, `--max-images`, `--max-file` and `--trust` set them (docs/limits.md).
    """

    max_file: int = FILE_BYTES  # bytes of the file itself
    max_header: int = HEADER_BYTES
    max_images: int = 10**7  # of the whole recall
    max_bytes: int = 24 * 2**30  # of what is written, and of the images that are recalled into memory
    max_seconds: float = 24 * 3600.0  # of a recall, or of one training, as counted beforehand
    free_memory: bool = True  # whether what needs more memory than is free is refused

    def require_images(self, spec: MemorySpec) -> None:
        """Raise LimitError where a memory recalls too many images in all."""
        if spec.recalled > self.max_images:
            raise LimitError(
                f"it recalls {spec.recalled:,} images, and {self.max_images:,} are allowed", do=_raise("max_images")
            )

    def require_recall(self, data: DataSpec, images: int) -> None:
        """Raise LimitError where so many images and their label vectors, float32, are too much for memory."""
        self.require_bytes("its recall", 4 * images * (data.floats_per_image + len(data.classes)))

    def require_bytes(self, what: str, needed: int) -> None:
        """Raise LimitError where `what`, such as "its recall", needs more bytes than are allowed."""
        if needed > self.max_bytes:
            raise LimitError(
                f"{what} needs {needed:,} bytes, and {self.max_bytes:,} are allowed", do=_raise("max_bytes")
            )

    def require_seconds(self, what: str, needed: float) -> None:
        """Raise LimitError where `what` is counted to take more time than is allowed."""
        if needed > self.max_seconds:
            raise LimitError(
                f"{what} takes about {needed / 3600:,.1f} hours, and {self.max_seconds / 3600:,.1f} are allowed",
                do=_raise("max_seconds"),
            )


def _raise(setting: str) -> str:
    return f"Raise `{setting}`, or give `trust`, if you trust the file"


DEFAULT_LIMITS = Limits()
TRUSTED = Limits(_NONE, HEADER_BYTES, _NONE, _NONE, math.inf, free_memory=False)  # of a file of one's own
