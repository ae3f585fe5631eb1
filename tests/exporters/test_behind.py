"""Writing by a thread of its own."""

import io
import threading
from collections.abc import Iterator

import pytest

from memcli.exporters.behind import write_behind


class Watched(io.BytesIO):
    """A file that notes who writes to it, and how much."""

    def __init__(self) -> None:
        super().__init__()
        self.writers: set[threading.Thread] = set()

    def write(self, piece: bytes) -> int:  # type: ignore[override]
        self.writers.add(threading.current_thread())
        if piece == b"full":
            raise OSError(28, "No space left on device")
        return super().write(piece)


def test_pieces_are_written_in_order_by_another_thread_at_most_one_behind() -> None:
    file = Watched()

    def pieces() -> Iterator[bytes]:
        for number in range(20):
            assert len(file.getvalue()) >= 2 * (number - 2)
            yield f"{number:02}".encode()

    write_behind(file, pieces())
    assert file.getvalue() == "".join(f"{number:02}" for number in range(20)).encode()
    assert len(file.writers) == 1
    assert threading.current_thread() not in file.writers
    write_behind(file, [])


def test_an_error_of_writing_is_raised_and_ends_the_thread() -> None:
    threads, made = threading.active_count(), []

    def pieces() -> Iterator[bytes]:
        for piece in (b"one", b"full", b"three", b"four"):
            made.append(piece)
            yield piece

    with pytest.raises(OSError, match="No space left"):
        write_behind(Watched(), pieces())
    assert made == [b"one", b"full", b"three"]
    with pytest.raises(OSError, match="No space left"):
        write_behind(Watched(), [b"full"])
    assert threading.active_count() == threads
