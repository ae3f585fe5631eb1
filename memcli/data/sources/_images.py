"""Decoding image files with Pillow: what is accepted, how colours are made plain, and how sizes are made one.

A photograph is decoded straight at the size that is wanted: no split is ever held at the size of its files.
"""

import math
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from memcli.data.sources.base import MAX_BYTES, Shape
from memcli.errors import DataError, LimitError
from memcli.formats import POINTER, recognised
from memcli.text import printable

_FORMATS = (  # not EPS, which would start Ghostscript
    *("PNG", "JPEG", "WEBP", "AVIF", "JPEG2000", "BMP", "DIB", "GIF", "TIFF", "PPM"),
)
SUFFIXES = frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in _FORMATS)
_GREY = frozenset(("1", "L", "LA", "I", "I;16", "I;16L", "I;16B"))
_MOST_PIXELS = 64_000_000  # in one image: a file of some kB can ask for more
_LARGE = 16_000_000  # pixels: above, images are decoded one at a time, not one in every thread
_DRAFT = 4  # a JPEG is decoded at an eighth, a quarter or half of its size where that is so many times what is wanted
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap width and height
_CHUNK, _BLOCK = 64, 4096  # images per task of a thread, and per look
_MOST_NAMED = 20  # damaged images in a message

T = TypeVar("T")

_one_at_a_time = threading.Lock()
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


class Damage:
    """The images of a source that cannot be read, and how many of them may be left out."""

    def __init__(self, allowed: int = 0) -> None:
        self.allowed = allowed
        self.reasons: dict[str, str] = {}  # by the image's name

    def names(self) -> tuple[str, ...]:
        return tuple(self.reasons)

    @property
    def too_much(self) -> bool:
        return len(self.reasons) > self.allowed

    def lines(self) -> list[str]:
        """What is wrong with each image."""
        return [f"{printable(name)} cannot be read: {printable(reason)}" for name, reason in self.reasons.items()]

    def error(self) -> DataError:
        """All of it at once."""
        named = [f"{printable(name)} ({printable(reason)})" for name, reason in self.reasons.items()]
        if len(named) == 1:
            return DataError(self.lines()[0], do="Repair or remove it, or leave it out by `skip_damaged` 1")
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        limit = f", and `skip_damaged` allows {self.allowed}" if self.allowed else ""
        return DataError(
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
    if count * math.prod(shape) > MAX_BYTES:
        raise LimitError(
            f"{count} images of {'x'.join(map(str, shape))} take more than {MAX_BYTES >> 30} GiB of memory",
            do="Choose a smaller `image_size`, or fewer images",
        )
    return numpy.empty((count, *shape), numpy.uint8)


def in_blocks(pictures: Sequence[Picture]) -> Iterator[Sequence[Picture]]:
    """The same pictures, some at a time."""
    return (pictures[start : start + _BLOCK] for start in range(0, len(pictures), _BLOCK))


def in_threads(work: Callable[[int], T], count: int) -> list[T]:
    """[work(0), ..., work(count - 1)], on some threads: Pillow lets go of the interpreter while it decodes."""

    def chunk(start: int) -> list[T]:
        return [work(index) for index in range(start, min(start + _CHUNK, count))]

    threads = min(max(os.cpu_count() or 2, 2), 8)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return [result for results in pool.map(chunk, range(0, count, _CHUNK)) for result in results]


def with_image(picture: Picture, read: Callable[[Image.Image], T], damage: Damage) -> T | None:
    """`read` of the opened picture; where anything goes wrong, None, and `damage` is told."""
    try:
        with Image.open(
            picture.data if isinstance(picture.data, Path) else BytesIO(picture.data), formats=_FORMATS
        ) as image:
            if math.prod(image.size) > _MOST_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels are too many")
            return read(image)
    except Exception as error:  # Pillow raises almost anything on a damaged file
        damage.reasons[picture.name] = _reason(picture, error)
        return None


def _reason(picture: Picture, error: Exception) -> str:
    """What is wrong with a picture that raised `error`."""
    if not isinstance(error, UnidentifiedImageError):
        return str(error)
    known = recognised(picture.data) if isinstance(picture.data, Path) else None
    return f"{known.what}. {known.do}" if known is POINTER else "not an image of a known format"


def look(image: Image.Image) -> tuple[tuple[int, int], bool]:
    """(height, width) as it will be after turning, and whether the image is grey; from its header."""
    turned = "exif" in image.info and image.getexif().get(_ORIENTATION) in _TURNED
    return (image.size if turned else image.size[::-1]), image.mode in _GREY


def _fitted(image: Image.Image, shape: Shape, fit: str) -> NDArray[numpy.uint8]:
    """The pixels, (C, H, W) uint8; where the size is another, resized (bicubic, antialiased) and made to `fit`."""
    channels, height, width = shape
    with _one_at_a_time if math.prod(image.size) > _LARGE else nullcontext():
        most = _DRAFT * max(height, width)
        image.draft("", (most, most))  # for a JPEG only, and only where it is larger than that by half or more
        plain = _plain(image).convert("L" if channels == 1 else "RGB")
    if plain.size != (width, height):
        plain = _RESIZED[fit](plain, (width, height))
    return numpy.asarray(plain).reshape(height, width, channels).transpose(2, 0, 1)


def _plain(image: Image.Image) -> Image.Image:
    """Upright, 8 bits, mode L or RGB, on white where it is transparent."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # convert() would clip 16 bits to 255: scale them
        values = numpy.asarray(image).astype(numpy.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels exceed 16 bits")
        return Image.fromarray(((values + 128) // 257).astype(numpy.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer)
        return flat.convert("L" if image.mode in _GREY else "RGB")
    return image.convert("L" if image.mode in _GREY else "RGB")
