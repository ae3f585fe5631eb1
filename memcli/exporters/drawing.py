"""Pictures for people to look at: images stretched to the whole range of grey, and contact sheets with class names."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import torch
from anyascii import anyascii
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from memcli.exporters.encoding import Encoding, to_picture
from memcli.text import printable

_SORTED = 1 << 23  # values that are sorted, at most: of more, every second, third and so on
CELL = 64  # pixels: the least side of an image on a sheet
SHEET = 4096  # pixels: the longest side of a sheet, which holds fewer images where they are large
_GAP = 4  # pixels between images
_TEXT = 14  # pixels: the height of letters
_NAMES = 168  # pixels: the most that class names take; a longer one is cut
_BESIDE = 12  # pixels between the real image and those that were recalled
_INK, _FAINT, _PAPER = "#222222", "#767676", "white"


def stretched(images: Tensor, percent: float = 2.0) -> numpy.ndarray:
    """Images (n, C, H, W) of any values as uint8 (n, H, W, C) that can be made out, each stretched on its own.

    `percent` of an image's values, all channels together, become black, as many become white, and the rest lies evenly
    between. Images of other than 1 or 3 channels become grey. An image of one value is a middle grey.
    """
    images = _grey_or_coloured(images)
    some = images.flatten(1)
    some = some[:, :: -(-some.numel() // _SORTED)]
    ends = torch.quantile(some, torch.tensor([percent / 100, 1 - percent / 100]), dim=1)
    low, high = (end.view(-1, 1, 1, 1) for end in ends)
    flat = high - low < 1e-6  # units of [0, 1]: far below what 8 bits show
    return Encoding.clip(images.shape[1]).to_bytes(
        torch.where(flat, 0.5, (images - low) / (high - low).clamp(min=1e-6))
    )


def unstretched(images: Tensor) -> numpy.ndarray:
    """Images (n, C, H, W) in units of [0, 1] as uint8 (n, H, W, C), clipped. Of other than 1 or 3 channels: grey."""
    images = _grey_or_coloured(images)
    return Encoding.clip(images.shape[1]).to_bytes(images)


def _grey_or_coloured(images: Tensor) -> Tensor:
    return images if images.shape[1] in (1, 3) else images.mean(1, keepdim=True)


@dataclass(frozen=True)
class Line:
    """One line of a contact sheet."""

    name: str
    images: numpy.ndarray  # (n, H, W, C) uint8, C 1 or 3
    real: numpy.ndarray | None = None  # (H, W, C) uint8, drawn before them


def contact_sheet(lines: Sequence[Line], *, real: str = "real", recalled: str = "recalled") -> Image.Image:
    """An RGB picture of one or more `lines`: for each its name, its real image where one is given, and its images.

    `real` and `recalled` stand above them where there are both.

    All images are of one size, and enlarged by whole pixels to CELL or more a side. No side is longer than SHEET, but
    for one image that is: lines and images beyond are left out.
    """
    height, width = (side * enlarged(*lines[0].images.shape[1:3]) for side in lines[0].images.shape[1:3])
    lines = lines[: max(1, (SHEET - _TEXT - _GAP) // (height + _GAP))]
    font = ImageFont.load_default(_TEXT)
    names = [_fitted(_plain(line.name), font) for line in lines]
    with_real = any(line.real is not None for line in lines)
    left = math.ceil(max(font.getlength(name) for name in names)) + 2 * _GAP
    start = left + (width + _BESIDE if with_real else 0)
    columns = min(max(len(line.images) for line in lines), max(1, (SHEET - start) // (width + _GAP)))
    top = _TEXT + 2 * _GAP if with_real else _GAP
    sheet = Image.new("RGB", (start + columns * (width + _GAP), top + len(lines) * (height + _GAP)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if with_real:
        draw.text((left, _GAP), real, _FAINT, font)
        draw.text((start, _GAP), recalled, _FAINT, font)
    for number, (line, name) in enumerate(zip(lines, names, strict=True)):
        y = top + number * (height + _GAP)
        draw.text((_GAP, y + height // 2), name, _INK, font, anchor="lm")
        cells = [(start + place * (width + _GAP), image) for place, image in enumerate(line.images[:columns])]
        for x, pixels in cells if line.real is None else [(left, line.real), *cells]:
            sheet.paste(to_picture(pixels).resize((width, height), Image.Resampling.NEAREST), (x, y))
    return sheet


def enlarged(height: int, width: int) -> int:
    """The whole number that brings both sides to CELL pixels or more."""
    return max(1, math.ceil(CELL / min(height, width)))


def _plain(name: str) -> str:
    """`name` in the letters that Pillow's own font has, those of ASCII: "кошка" is koshka, and what has none is ?."""
    return anyascii(printable(name)) or "?" * bool(name)


def _fitted(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """`name`, cut where it is wider than the room for names."""
    if font.getlength(name) <= _NAMES:
        return name
    while name and font.getlength(f"{name}...") > _NAMES:
        name = name[:-1]
    return f"{name}..."
