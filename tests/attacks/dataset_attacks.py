"""What an attack by a data set is: how it is written, and what is right."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy
from PIL import Image


@dataclass(frozen=True)
class Attack:
    """A bad data set."""

    write: Callable[[Path], str]  # writes it into an empty folder, and gives the text that names it
    message: str = ""  # a pattern of the error; "" where it is read
    classes: tuple[str, ...] = ()  # that it has where it is read
    slow: bool = False  # more than a second to write or to refuse

    def found_in(self, error: str) -> bool:
        """Whether the error is the right one."""
        return re.search(self.message, error) is not None


def refused(write: Callable[[Path], str], message: str, *, slow: bool = False) -> Attack:
    return Attack(write, message, slow=slow)


def read(write: Callable[[Path], str], classes: tuple[str, ...], *, slow: bool = False) -> Attack:
    return Attack(write, classes=classes, slow=slow)


def picture(seed: int, size: tuple[int, int] = (8, 8), format: str = "PNG") -> bytes:
    """An encoded image of noise."""
    stream = io.BytesIO()
    Image.fromarray(numpy.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=numpy.uint8)).save(stream, format)
    return stream.getvalue()
