"""Decoding image files with Pillow: what is accepted, how colours are made plain, and how sizes are made one.

A photograph is decoded straight at the size that is wanted: no split is ever held at the size of its files.
"""

import math
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from memcli import machine
from memcli.data.sources._limits import MOST_ENCODED, require_pixels
from memcli.data.sources.base import DamagedError, Shape
from memcli.formats import POINTER, recognised
from memcli.text import printable

_FORMATS = (  # not EPS, which would start Ghostscript
    *("PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "BMP", "DIB", "GIF", "TIFF", "PPM"),
)
SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in _FORMATS)
_GREY = frozenset(("1", "L", "LA", "I", "I;16", "I;16L", "I;16B"))
_MOST_PIXELS = 64_000_000  # in one image: a file of some kB can ask for more
_TOGETHER = 16_000_000  # pixels that are decoded at once, in all threads: some eight bytes each
_STRIP = 4_000_000  # pixels of an image that are made plain at once, where that takes copies of them
_DRAFT = 4  # a JPEG is decoded at an eighth, a quarter or half of its size where that is so many times what is wanted
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap width and height
_CHUNK, _BLOCK = 64, 512  # images per task of a thread, and per look
_MOST_NAMED = 20  # damaged images in a message

T = TypeVar("T")

_RESIZED: dict[str, Callable[[Image.Image, tuple[int, int]], Image.Image]] = {  # one for each of FITS
    "crop": partial(ImageOps.fit, method=Image.Resampling.BICUBIC),  # shorter side to the size, the centre is kept
    "pad": partial(ImageOps.pad, method=Image.Resampling.BICUBIC),  # longer side to the size, black beside it
    "stretch": lambda image, size: image.resize(size, Image.Resampling.BICUBIC),
}


@dataclass(frozen=True)
class Picture:
    """One encoded image, and what to call it in a message."""

    name: str
    data: Path | bytes


class _Room:
    """How many pixels are decoded at once: threads wait for each other where images are large."""

    def __init__(self, pixels: int) -> None:
        self._most, self._used, self._changed = pixels, 0, threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Room for so many, or all of it for an image that is larger."""
        pixels = min(pixels, self._most)
        with self._changed:
            self._changed.wait_for(lambda: self._used + pixels <= self._most)
            self._used += pixels
        try:
            yield
        finally:
            with self._changed:
                self._used -= pixels
                self._changed.notify_all()


_room = _Room(_TOGETHER)


class Damage:
    """The images of a source that cannot be read, and how many of them may be left out."""

    def __init__(self, allowed: int = 0) -> None:
        self.allowed = allowed
        self.reasons: dict[str, str] = {}  # by the image's name
        self.unread: set[str] = set()  # those whose files the system would not read, and may another time

    def names(self) -> tuple[str, ...]:
        return tuple(self.reasons)

    @property
    def too_much(self) -> bool:
        return len(self.reasons) > self.allowed

    def lines(self) -> list[str]:
        """What is wrong with each image."""
        return [f"{printable(name)} cannot be read: {printable(reason)}" for name, reason in self.reasons.items()]

    def error(self) -> DamagedError:
        """All of it at once."""
        named = [f"{printable(name)} ({printable(reason)})" for name, reason in self.reasons.items()]
        if len(named) == 1:
            return DamagedError(self.lines()[0], do="Repair or remove it, or leave it out by `skip_damaged` 1")
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        limit = f", and `skip_damaged` allows {self.allowed}" if self.allowed else ""
        return DamagedError(
            f"{len(named)} images cannot be read{limit}: {', '.join(named[:_MOST_NAMED])}{more}",
            do=f"Repair or remove them, or leave them out by `skip_damaged` {len(named)}",
        )


def decode(pictures: Sequence[Picture], out: NDArray[numpy.uint8], damage: Damage, fit: str = "crop") -> NDArray[Any]:
    """Decode `pictures` into `out`, (n, C, H, W) uint8: grey or RGB, made to `fit` where a size differs.

    (n,) bool: which could be read. The others are told to `damage`.
    """
    channels, height, width = out.shape[1:]
    read = partial(_fitted, shape=(channels, height, width), fit=fit)

    def work(index: int) -> bool:
        pixels = with_image(pictures[index], read, damage)
        if pixels is not None:
            out[index] = pixels
        return pixels is not None

    return numpy.array(in_threads(work, len(pictures)), dtype=bool)


def empty(count: int, shape: Shape) -> NDArray[numpy.uint8]:
    """Room for `count` images, (count, C, H, W), or LimitError."""
    require_pixels(count, shape)
    return numpy.empty((count, *shape), numpy.uint8)


def in_blocks(pictures: Iterable[Picture]) -> Iterator[Sequence[Picture]]:
    """The same pictures, some at a time."""
    left = iter(pictures)
    return iter(lambda: list(islice(left, _BLOCK)), [])


def in_threads(work: Callable[[int], T], count: int) -> list[T]:
    """[work(0), ..., work(count - 1)], on some threads: Pillow lets go of the interpreter while it decodes."""

    def chunk(start: int) -> list[T]:
        return [work(index) for index in range(start, min(start + _CHUNK, count))]

    threads = min(max(machine.cores(), 2), 8)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return [result for results in pool.map(chunk, range(0, count, _CHUNK)) for result in results]


def with_image(picture: Picture, read: Callable[[Image.Image], T], damage: Damage) -> T | None:
    """`read` of the opened picture; where anything goes wrong, None, and `damage` is told."""
    try:
        with _opened(picture.data) as file, Image.open(file, formats=_FORMATS) as image:
            if math.prod(image.size) > _MOST_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels are too many")
            return read(image)
    except Exception as error:  # Pillow raises almost anything on a damaged file
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            damage.unread.add(picture.name)
        damage.reasons[picture.name] = _reason(picture, error)
        return None


def _opened(data: Path | bytes) -> IO[bytes]:
    """What Pillow reads an image from. A pipe or a device that has taken a file's place is not waited for."""
    if isinstance(data, bytes):
        return BytesIO(data)
    file = open(os.open(data, os.O_RDONLY | machine.BINARY | machine.NO_WAIT), "rb")  # noqa: SIM115  the caller closes it
    about = os.fstat(file.fileno())
    if not stat.S_ISREG(about.st_mode):
        file.close()
        raise ValueError("it is no regular file")
    if about.st_size > MOST_ENCODED:
        file.close()
        raise ValueError(f"it has {about.st_size >> 20:,} MiB, and images up to {MOST_ENCODED >> 20} MiB are read")
    return file


def _reason(picture: Picture, error: Exception) -> str:
    """What is wrong with a picture that raised `error`."""
    if not isinstance(error, UnidentifiedImageError):
        return str(error) or type(error).__name__
    known = recognised(picture.data) if isinstance(picture.data, Path) else None
    return f"{known.what}. {known.do}" if known is POINTER else "not an image of a known format"


def look(image: Image.Image) -> tuple[tuple[int, int], bool]:
    """(height, width) as it will be after turning, and whether the image is grey; from its header."""
    turned = "exif" in image.info and image.getexif().get(_ORIENTATION) in _TURNED
    return (image.size if turned else image.size[::-1]), image.mode in _GREY


def _fitted(image: Image.Image, shape: Shape, fit: str) -> NDArray[numpy.uint8]:
    """The pixels, (C, H, W) uint8; where the size is another, resized (bicubic, antialiased) and made to `fit`."""
    channels, height, width = shape
    most, whole = _DRAFT * max(height, width), math.prod(image.size)
    image.draft("", (most, most))  # for a JPEG only, and only where it is larger than that by half or more
    with _room.taken(whole if "progression" in image.info else math.prod(image.size)):
        plain = _in_mode(_plain(image), "L" if channels == 1 else "RGB")
        if plain.size != (width, height):
            plain = _RESIZED[fit](plain, (width, height))
    return numpy.asarray(plain).reshape(height, width, channels).transpose(2, 0, 1)


def _plain(image: Image.Image) -> Image.Image:
    """Upright, 8 bits, mode L or RGB, on white where it is transparent."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if image.mode.startswith("I"):  # convert() would clip 16 bits to 255: scale them
        return _by_strips(image, "L", _scaled)
    mode = "L" if image.mode in _GREY else "RGB"
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        return _by_strips(image, mode, lambda strip: _on_white(strip).convert(mode))
    return _in_mode(image, mode)


def _by_strips(image: Image.Image, mode: str, plain: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """`plain` of the image, which makes every pixel `mode` by itself: some rows at a time, where it is large."""
    rows = max(1, _STRIP // image.width)
    if rows >= image.height:
        return plain(image)
    made = Image.new(mode, image.size)
    for top in range(0, image.height, rows):
        made.paste(plain(image.crop((0, top, image.width, min(top + rows, image.height)))), (0, top))
    return made


def _scaled(image: Image.Image) -> Image.Image:
    """16 bits as 8."""
    values = numpy.asarray(image).astype(numpy.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError("its pixels exceed 16 bits")
    return Image.fromarray(((values + 128) // 257).astype(numpy.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)
