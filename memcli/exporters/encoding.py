"""Pixels as the 8-bit numbers that pictures hold, and back.

    byte = round(255 · (pixel - low) / (high - low)),    pixel = low + (high - low) · byte / 255

for each channel, in units where real images lie in [0, 1]. What lies outside [low, high] is clipped. With the encoding
`clip` that range is [0, 1], so that pictures look as real ones do; with `range` it holds every value, so that a value
moves by half a step at most: (high - low) / 510.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy
import torch
from PIL import Image
from torch import Tensor

from memcli.data.spec import DataSpec

ENCODINGS = ("clip", "range")
_DIGITS = 1000  # a range ends at whole thousandths: short to write, and hardly wider


@dataclass(frozen=True)
class Encoding:
    """What 0 and 255 stand for in each channel."""

    name: str  # of ENCODINGS
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def clip(cls, channels: int) -> Self:
        """[0, 1] in every channel."""
        return cls("clip", (0.0,) * channels, (1.0,) * channels)

    @classmethod
    def range(cls, images: Iterable[Tensor]) -> Self:
        """The range of each channel over all `images`, each (n, C, H, W) and finite."""
        bounds = [(part.amin((0, 2, 3)), part.amax((0, 2, 3))) for part in images]
        lows = torch.stack([low for low, _ in bounds]).amin(0).double().tolist()
        highs = torch.stack([high for _, high in bounds]).amax(0).double().tolist()
        low = tuple(math.floor(value * _DIGITS) / _DIGITS for value in lows)
        high = tuple(math.ceil(value * _DIGITS) / _DIGITS for value in highs)
        return cls("range", low, tuple(max(top, bottom + 1 / _DIGITS) for bottom, top in zip(low, high, strict=True)))

    def to_bytes(self, images: Tensor) -> numpy.ndarray:
        """Pixels (n, C, H, W) as uint8 (n, H, W, C): clipped to the range, and rounded to the nearest step."""
        low, high = (torch.tensor(ends).view(-1, 1, 1) for ends in (self.low, self.high))
        shares = ((images - low) / (high - low)).clamp(0, 1)
        return (shares * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "low": list(self.low), "high": list(self.high)}

    def transforms(self, data: DataSpec) -> dict[str, str]:
        """What gives torchvision's ImageFolder pixels in units of [0, 1] again, as Python: for its `v2`, and older."""
        steps = [] if self.name == "clip" else [_inverse(self.low, self.high)]
        grey = ["Grayscale()"] if data.channels == 1 else []  # ImageFolder makes grey pictures RGB
        ways = {
            "torchvision.transforms.v2": [*grey, "ToImage()", "ToDtype(torch.float32, scale=True)", *steps],
            "torchvision.transforms": [*grey, "ToTensor()", *steps],
        }
        prefix = {name: name.rpartition(".")[2] for name in ways}
        return {
            name: f"{prefix[name]}.Compose([{', '.join(f'{prefix[name]}.{step}' for step in calls)}])"
            for name, calls in ways.items()
        }


def _inverse(low: tuple[float, ...], high: tuple[float, ...]) -> str:
    """Normalize computes (x - mean) / std: with std = 1 / (high - low), low + (high - low) · x."""
    widths = [top - bottom for bottom, top in zip(low, high, strict=True)]
    mean = [-bottom / width for bottom, width in zip(low, widths, strict=True)]
    std = [1 / width for width in widths]
    return f"Normalize({mean}, {std})"


def to_picture(pixels: numpy.ndarray) -> Image.Image:
    """One (H, W, C) uint8 image with 1 or 3 channels as a Pillow image."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
