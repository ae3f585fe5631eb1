"""cutout: a square of half the side becomes zeros."""

import torch
from torch import Tensor

from memcli.data.augmentations.base import Operation

_CUTOUT = 0.5  # the side of the square, as a share of the image's


def _draw_cutout(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """A mask with a square of zeros somewhere, cut off at the border, (count, 1, H, W)."""
    hidden = []
    for axis, length in enumerate(shape[1:]):
        middle = (uniform[:, axis, None] * length).floor()
        away = (torch.arange(length) - middle).abs()  # (count, length)
        hidden.append(away < _CUTOUT * length / 2)
    return [1 - (hidden[0].unsqueeze(2) & hidden[1].unsqueeze(1)).unsqueeze(1).float()]


def _cut(images: Tensor, draws: list[Tensor]) -> Tensor:
    return images * draws.pop(0).to(images)


OPERATION = Operation(1, _draw_cutout, _cut, "a square of half the side becomes zeros")
