"""Differentiable augmentation of normalised images [DSA]: flip, shift, scale, rotate, colour, cutout.

Every operation is affine in the images, with coefficients that are drawn apart from them: `draw` makes tensors, and
`apply` uses them. So one draw may serve recalled and real images alike, a training step may be run again, and
derivatives of any order exist. Geometry is a product with matrices of linear interpolation along one side, which is
deterministic on every device; pixels beyond the border repeat it. A rotation is three shears (Paeth, "A Fast Algorithm
for General Raster Rotation", 1986).

[DSA] Zhao, Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021; the strengths are theirs.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from memcli.data.augmentations import augmentations
from memcli.seeds import generator

_SHIFT = 0.125  # of a side, at most
_SCALE = 1.2  # larger or smaller by this, at most
_ROTATE = math.radians(15)  # at most, either way
_BRIGHTNESS, _SATURATION, _CONTRAST = 0.5, 1.0, 0.5  # the most that is added, and the most that 1 is changed by
_CUTOUT = 0.5  # the side of the square that is blanked, as a share of the image's


@dataclass(frozen=True)
class Augmentation:
    """The operations named in `text`, "shift,rotate" for instance, one after the other in the order of AUGMENTATIONS.

    Raises UsageError where a name is unknown.
    """

    text: str

    def __post_init__(self) -> None:
        augmentations(self.text)

    def draw(self, shape: tuple[int, ...], seed: int, step: int, count: int = 1) -> tuple[Tensor, ...]:
        """The coefficients for images (C, H, W): of `count` separate draws; or of 1, for all images alike.

        A pure function of its arguments; on the CPU. Empty where nothing is to be done.
        """
        found: list[Tensor] = []
        for name in augmentations(self.text):
            uniform = torch.rand(count, 3, generator=generator(seed, f"augment {name}", step))
            found += _DRAWS[name](uniform, shape)
        return tuple(found)

    def apply(self, images: Tensor, draws: tuple[Tensor, ...]) -> Tensor:
        """`images` (n, C, H, W) under `draws` of `draw`, whose count is n or 1."""
        left = list(draws)
        for name in augmentations(self.text):
            images = _APPLIED[name](images, left)
        return images


def interpolation(positions: Tensor, length: int) -> Tensor:
    """(..., m) positions on a line of `length` pixels, from 0 -> (..., m, length) weights; beyond an end: the end's."""
    distance = positions.clamp(0, length - 1).unsqueeze(-1) - torch.arange(length, dtype=positions.dtype)
    return (1 - distance.abs()).clamp(min=0)


def _centred(length: int) -> Tensor:
    """The positions of `length` pixels from the middle of the line, (length,)."""
    return torch.arange(length, dtype=torch.float32) - (length - 1) / 2


def _stretches(factors: Tensor, offsets: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """Matrices of position -> factor · position + offset along height and width; both (count, 2), offsets in sides."""
    found = []
    for axis, length in enumerate(shape[1:]):
        moved = factors[:, axis, None] * _centred(length) + offsets[:, axis, None] * length
        found.append(interpolation(moved + (length - 1) / 2, length))  # (count, length, length)
    return found


def _draw_flip(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    sign = torch.where(uniform[:, 0] < 0.5, 1.0, -1.0)
    return _stretches(torch.stack([torch.ones_like(sign), sign], 1), uniform.new_zeros(len(uniform), 2), shape)


def _draw_shift(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    return _stretches(uniform.new_ones(len(uniform), 2), (2 * uniform[:, :2] - 1) * _SHIFT, shape)


def _draw_scale(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    return _stretches(_SCALE ** (2 * uniform[:, :2] - 1), uniform.new_zeros(len(uniform), 2), shape)


def _draw_rotate(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """The two different ones of three shears: along width (count, H, W, W) and along height (count, W, H, H)."""
    _, height, width = shape
    angle = ((2 * uniform[:, 0] - 1) * _ROTATE)[:, None, None]
    y, x = _centred(height), _centred(width)
    across = x - torch.tan(angle / 2) * y[:, None] + (width - 1) / 2  # (count, H, W)
    along = y + torch.sin(angle) * x[:, None] + (height - 1) / 2  # (count, W, H)
    return [interpolation(across, width), interpolation(along, height)]


def _draw_colour(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """Brightness that is added, factors of saturation and contrast, (count, 3)."""
    del shape
    strengths = torch.tensor([_BRIGHTNESS, _SATURATION, _CONTRAST])
    return [(2 * uniform - 1) * strengths + torch.tensor([0.0, 1.0, 1.0])]


def _draw_cutout(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """A mask with a square of zeros somewhere, cut off at the border, (count, 1, H, W)."""
    hidden = []
    for axis, length in enumerate(shape[1:]):
        middle = (uniform[:, axis, None] * length).floor()
        away = (torch.arange(length) - middle).abs()  # (count, length)
        hidden.append(away < _CUTOUT * length / 2)
    return [1 - (hidden[0].unsqueeze(2) & hidden[1].unsqueeze(1)).unsqueeze(1).float()]


def _stretched(images: Tensor, draws: list[Tensor]) -> Tensor:
    tall, wide = (draws.pop(0).to(images).unsqueeze(1) for _ in range(2))  # (count, 1, H, H), (count, 1, W, W)
    return tall @ images @ wide.mT


def _rotated(images: Tensor, draws: list[Tensor]) -> Tensor:
    across, along = (draws.pop(0).to(images) for _ in range(2))
    images = _sheared(images, across)
    images = _sheared(images.mT, along).mT
    return _sheared(images, across)


def _sheared(images: Tensor, lines: Tensor) -> Tensor:
    """Each line of `images` (n, C, H, W) by its own matrix, of (n or 1, H, W, W)."""
    if len(lines) == 1:
        return torch.einsum("nchj,hxj->nchx", images, lines[0])
    return torch.einsum("nchj,nhxj->nchx", images, lines)


def _coloured(images: Tensor, draws: list[Tensor]) -> Tensor:
    brightness, saturation, contrast = draws.pop(0).to(images)[:, :, None, None, None].unbind(1)  # (count, 1, 1, 1)
    images = images + brightness
    grey = images.mean(1, keepdim=True)
    images = grey + saturation * (images - grey)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + contrast * (images - mean)


def _cut(images: Tensor, draws: list[Tensor]) -> Tensor:
    return images * draws.pop(0).to(images)


_DRAWS = {
    "flip": _draw_flip,
    "shift": _draw_shift,
    "scale": _draw_scale,
    "rotate": _draw_rotate,
    "colour": _draw_colour,
    "cutout": _draw_cutout,
}
_APPLIED = {
    "flip": _stretched,
    "shift": _stretched,
    "scale": _stretched,
    "rotate": _rotated,
    "colour": _coloured,
    "cutout": _cut,
}
