"""Geometry by products with matrices of linear interpolation along one side: deterministic on every device.

Pixels beyond the border repeat it.
"""

import torch
from torch import Tensor


def interpolation(positions: Tensor, length: int) -> Tensor:
    """(..., m) positions on a line of `length` pixels, from 0 -> (..., m, length) weights.

    A position beyond an end counts as that end.
    """
    distance = positions.clamp(0, length - 1).unsqueeze(-1) - torch.arange(length, dtype=positions.dtype)
    return (1 - distance.abs()).clamp(min=0)


def centred(length: int) -> Tensor:
    """The positions of `length` pixels from the middle of the line, (length,)."""
    return torch.arange(length, dtype=torch.float32) - (length - 1) / 2


def stretches(factors: Tensor, offsets: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """Matrices of position -> factor · position + offset along height and width; both (count, 2), offsets in sides."""
    matrices = []
    for axis, length in enumerate(shape[1:]):
        moved = factors[:, axis, None] * centred(length) + offsets[:, axis, None] * length
        matrices.append(interpolation(moved + (length - 1) / 2, length))  # (count, length, length)
    return matrices


def stretched(images: Tensor, draws: list[Tensor]) -> Tensor:
    tall, wide = (draws.pop(0).to(images).unsqueeze(1) for _ in range(2))  # (count, 1, H, H), (count, 1, W, W)
    return tall @ images @ wide.mT
