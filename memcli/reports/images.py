"""The pictures of a report, as PNG in data URIs: strips of images, and maps of numbers that are see-through at 0."""

import base64
import io
import math
from dataclasses import dataclass

import numpy
from PIL import Image
from torch import Tensor

from memcli.exporters.drawing import stretched, unstretched
from memcli.exporters.encoding import to_picture

_CELL = 48  # pixels: the least side of an image in a strip
_LARGEST = 64  # pixels: larger images are made smaller
_GAP = 4  # pixels between images
_MORE, _LESS = (37, 99, 235), (234, 88, 12)  # the colours of numbers above and below 0


@dataclass(frozen=True)
class Picture:
    """A PNG in a data URI, its size in pixels, and what it shows, for those who cannot see it."""

    uri: str
    width: int
    height: int
    alt: str


def strip(images: Tensor, alt: str, *, columns: int = 8, stretch: bool = True) -> Picture:
    """Images (n, C, H, W) side by side, `columns` to a line, with see-through gaps; small ones in whole pixels.

    Each is stretched to the range of grey on its own, or, without `stretch`, shown as pixels in units of [0, 1].
    """
    pixels = stretched(images) if stretch else unstretched(images)
    height, width = _shown_size(*pixels.shape[1:3])
    shrinks = height < pixels.shape[1]
    lines = math.ceil(len(pixels) / columns)
    across = min(columns, len(pixels))
    sheet = Image.new("RGBA", (across * (width + _GAP) - _GAP, lines * (height + _GAP) - _GAP))
    for number, image in enumerate(pixels):
        line, column = divmod(number, columns)
        how = Image.Resampling.BOX if shrinks else Image.Resampling.NEAREST
        cell = to_picture(image).resize((width, height), how).convert("RGBA")
        sheet.paste(cell, (column * (width + _GAP), line * (height + _GAP)))
    return _picture(sheet, alt)


def signed_map(values: Tensor, alt: str) -> Picture:
    """A pixel for each of `values` (rows, columns): blue above 0, orange below, the stronger the further off."""
    numbers = values.double().numpy()
    strength = numpy.abs(numbers) / max(float(numpy.abs(numbers).max()), 1e-30)
    colours = numpy.where(numbers[..., None] >= 0, _MORE, _LESS)
    opacity = numpy.round(255 * strength)[..., None]
    return _picture(Image.fromarray(numpy.concatenate([colours, opacity], 2).astype("uint8"), "RGBA"), alt)


def _shown_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of an image as shown: enlarged by a whole number, or made smaller where it is large."""
    if max(height, width) > _LARGEST:
        factor = _LARGEST / max(height, width)
        return max(1, round(height * factor)), max(1, round(width * factor))
    whole = max(1, min(math.ceil(_CELL / min(height, width)), _LARGEST * 2 // max(height, width)))
    return height * whole, width * whole


def _picture(image: Image.Image, alt: str) -> Picture:
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Picture(uri, image.width, image.height, alt)
