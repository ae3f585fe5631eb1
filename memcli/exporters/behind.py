"""Writing by a thread of its own, while what is written next is made."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO


def write_behind(file: IO[bytes], pieces: Iterable[bytes]) -> None:
    """Write `pieces` into `file`, one after the other. One is written, at most, while the next is made."""
    with ThreadPoolExecutor(1) as thread:
        writing: Future[int] | None = None
        for piece in pieces:
            if writing is not None:
                writing.result()
            writing = thread.submit(file.write, piece)
        if writing is not None:
            writing.result()
