"""Decoding image files with Pillow: what is accepted, how colours are made plain, and how sizes are made one."""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import numpy
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from memcli.data.sources.base import MAX_BYTES, Request, Shape
from memcli.errors import DataError, LimitError
from memcli.text import printable

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"))
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # not EPS, which would start Ghostscript
_GREY = frozenset(("1", "L", "LA", "I", "I;16", "I;16L", "I;16B"))
_MOST_PIXELS = 64_000_000  # in one image: a file of some kB can ask for more
_KEPT_SIDE, _DEFAULT_SIDE = 64, 32  # one size up to 64x64 is kept; else 32x32, the size most methods are compared at
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and its values that swap width and height
_CHUNK, _BLOCK = 64, 4096  # images per task of a thread, and per look

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """One encoded image, and what to call it in a message."""

    name: str
    data: Path | bytes


def decode(pictures: Sequence[Picture], out: NDArray[numpy.uint8]) -> None:
    """Decode `pictures` into `out`, (n, C, H, W) uint8: grey or RGB, resized where a size differs."""
    channels, height, width = out.shape[1:]
    read = partial(_fitted, shape=(channels, height, width))

    def work(index: int) -> None:
        out[index] = _with_image(pictures[index], read)

    _in_threads(work, len(pictures))


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


def choose_shape(blocks: Iterable[Sequence[Picture]], request: Request) -> tuple[Shape, tuple[str, ...]]:
    """The shape to decode to, and notes on what was guessed: what `request` asks for, or what the pictures suggest.

    One channel if all pictures are grey, else three. All of one size and at most 64x64: that size, else 32x32.
    """
    if request.shape is not None:
        if request.shape[0] not in (1, 3):
            raise DataError(f"image files have 1 or 3 channels, not {request.shape[0]}", do="Choose another source")
        return request.shape, ()
    sizes: set[tuple[int, int]] = set()
    grey = True
    for block in blocks:
        looks = _in_threads(partial(_look_at, block), len(block))
        sizes |= {size for size, _ in looks}
        grey = grey and all(is_grey for _, is_grey in looks)
        if not grey and (request.image_size is not None or len(sizes) > 1):
            break  # no later picture can change the outcome
    channels = 1 if grey else 3
    if request.image_size is not None:
        return (channels, request.image_size, request.image_size), ()
    height, width = min(sizes)
    if len(sizes) == 1 and max(height, width) <= _KEPT_SIDE:
        return (channels, height, width), ()
    found = "of several sizes" if len(sizes) > 1 else f"of {height}x{width}"
    side = _DEFAULT_SIDE
    return (channels, side, side), (
        f"images {found} are resized to {side}x{side}: `image_size` N chooses another size",
    )


def _in_threads(work: Callable[[int], T], count: int) -> list[T]:
    """[work(0), ..., work(count - 1)], on some threads: Pillow lets go of the interpreter while it decodes."""

    def chunk(start: int) -> list[T]:
        return [work(index) for index in range(start, min(start + _CHUNK, count))]

    threads = min(max(os.cpu_count() or 2, 2), 8)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return [result for results in pool.map(chunk, range(0, count, _CHUNK)) for result in results]


def _with_image(picture: Picture, read: Callable[[Image.Image], T]) -> T:
    """`read` of the opened picture; whatever goes wrong becomes a DataError that names it."""
    try:
        with Image.open(
            picture.data if isinstance(picture.data, Path) else BytesIO(picture.data), formats=_FORMATS
        ) as image:
            if math.prod(image.size) > _MOST_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels are too many")
            return read(image)
    except Exception as error:  # Pillow raises almost anything on a damaged file
        reason = "not an image of a known format" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(
            f"{printable(picture.name)} cannot be read: {printable(reason)}", do="Repair or remove it"
        ) from error


def _look_at(pictures: Sequence[Picture], index: int) -> tuple[tuple[int, int], bool]:
    return _with_image(pictures[index], _look)


def _look(image: Image.Image) -> tuple[tuple[int, int], bool]:
    """(height, width) as it will be after turning, and whether the image is grey; from its header."""
    turned = "exif" in image.info and image.getexif().get(_ORIENTATION) in _TURNED
    return (image.size if turned else image.size[::-1]), image.mode in _GREY


def _fitted(image: Image.Image, shape: Shape) -> NDArray[numpy.uint8]:
    """The pixels, (C, H, W) uint8; another size is resized to the shorter side (bicubic, antialiased) and cropped."""
    channels, height, width = shape
    plain = _plain(image).convert("L" if channels == 1 else "RGB")
    if plain.size != (width, height):
        plain = ImageOps.fit(plain, (width, height), Image.Resampling.BICUBIC)
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
