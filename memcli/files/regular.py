"""Reads small files of settings, whoever wrote them: regular ones alone, and none that is too large. No torch."""

import errno
import os
import stat
from pathlib import Path

from memcli.machine import BINARY, NO_WAIT

MOST_BYTES = 64 << 20


def read_bytes(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file of at most `most` bytes; OSError otherwise. A pipe does not make it wait."""
    descriptor = os.open(path, os.O_RDONLY | NO_WAIT | BINARY)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file")
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"Over {most} bytes")
    return content
