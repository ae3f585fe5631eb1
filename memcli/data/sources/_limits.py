"""What a data set may cost: counted before anything is allocated, for every kind of source."""

import math
from collections.abc import Sequence

from memcli import machine
from memcli.errors import LimitError
from memcli.text import printable

MAX_BYTES = 8 << 30  # of pixels that one split may take in memory
MOST_IN_MEMORY = 1 << 30  # of pixels of a split, where a file can hold them
MOST_IMAGES = 1 << 25  # of one split: labels are kept one by one
MOST_ENCODED = 256 << 20  # bytes of one encoded image
MOST_LABEL_BYTES = 512 << 20  # of all labels of a split, as they are stored
MOST_LETTERS = 1000  # of a name of a class
DEEPEST = 100  # folders in folders: deeper ones are a mistake or an attack


def require_count(count: int, where: str) -> None:
    """Raise LimitError where a split has more images than are read; `where` says which file it is."""
    if count > MOST_IMAGES:
        raise LimitError(
            f"{printable(where)} has {count:,} images, and at most {MOST_IMAGES:,} are read", do="Give a part of them"
        )


def require_room(needed: int, what: str) -> None:
    """Raise LimitError where `what` needs more bytes than a split may take, or than this machine has free."""
    if needed > MAX_BYTES:
        raise LimitError(
            f"{what} take more than {MAX_BYTES >> 30} GiB of memory",
            do="Choose a smaller `image_size`, or fewer images",
        )
    available = machine.available_memory()
    if available is not None and needed > available:
        raise LimitError(
            f"{what} take {needed / 2**20:,.0f} MiB of memory, and {available / 2**20:,.0f} MiB are free",
            do="Choose a smaller `image_size`, or fewer images, or a machine with more memory",
        )


def require_pixels(count: int, shape: Sequence[int]) -> None:
    """Raise LimitError where so many images of `shape`, 8 bits a value, take too much memory."""
    require_room(count * math.prod(shape), f"{count:,} images of {'x'.join(map(str, shape))}")


def stay_in_memory(count: int, shape: Sequence[int]) -> bool:
    """Whether so many images of `shape`, which a file could hold too, stay in memory: up to 1 GiB, if it is free."""
    needed, available = count * math.prod(shape), machine.available_memory()
    return needed <= min(MOST_IN_MEMORY, needed if available is None else available)


def require_label_bytes(needed: int, where: str) -> None:
    """Raise LimitError where labels take more bytes than are read."""
    if needed > MOST_LABEL_BYTES:
        raise LimitError(
            f"{printable(where)} takes {needed >> 20:,} MiB, and labels up to {MOST_LABEL_BYTES >> 20} MiB are read",
            do="Save them as whole numbers",
        )
