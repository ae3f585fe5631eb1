"""rotate: by up to 15 degrees, as three shears (Paeth, "A Fast Algorithm for General Raster Rotation", 1986)."""

import math

import torch
from torch import Tensor

from memcli.data.augmentations.base import Operation
from memcli.data.augmentations.geometry import centred, interpolation, sampled

_ROTATE = math.radians(15)  # at most, either way
_LARGE = 64  # the side from which on matrices for each line of each image take too long: docs/log/, 224 pixels


def _draw_rotate(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """The first two shears, along width and height, as `_sheared` takes them; the third is the first again."""
    _, height, width = shape
    angle = ((2 * uniform[:, 0] - 1) * _ROTATE)[:, None, None]
    y, x = centred(height), centred(width)
    across = x - torch.tan(angle / 2) * y[:, None] + (width - 1) / 2  # (count, H, W)
    along = y + torch.sin(angle) * x[:, None] + (height - 1) / 2  # (count, W, H)
    if len(uniform) > 1 and max(height, width) >= _LARGE:
        return [across, along]
    return [interpolation(across, width), interpolation(along, height)]


def _rotated(images: Tensor, draws: list[Tensor]) -> Tensor:
    across, along = (draws.pop(0).to(images) for _ in range(2))
    images = _sheared(images, across)
    images = _sheared(images.mT, along).mT
    return _sheared(images, across)


def _sheared(images: Tensor, lines: Tensor) -> Tensor:
    """Each line of `images` (n, C, H, W) by a matrix of its own, (n or 1, H, W, W), or at positions, (n, H, W)."""
    if lines.dim() < images.dim():
        return sampled(images, lines)
    if len(lines) == 1:
        return torch.einsum("nchj,hxj->nchx", images, lines[0])
    return torch.einsum("nchj,nhxj->nchx", images, lines)


OPERATION = Operation(2, _draw_rotate, _rotated, "turned by up to 15 degrees")
