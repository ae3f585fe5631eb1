"""Geometry by linear interpolation along one side, as products with matrices: deterministic on every device.

Where these would be too large, pixels are picked instead (`sampled`), whose gradient a GPU adds up in no fixed order.
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


def sampled(images: Tensor, positions: Tensor) -> Tensor:
    """The lines of `images` (n, C, H, W) at `positions` (n, H, m) along their width: (n, C, H, m).

    What the product with `interpolation(positions, W)` gives, to rounding, in the memory of the images alone.
    """
    last = images.shape[-1] - 1
    inside = positions.clamp(0, last)
    lower = inside.floor()
    share = (inside - lower).unsqueeze(1)
    first, second = (
        images.gather(-1, place.long().unsqueeze(1).expand(-1, images.shape[1], -1, -1))
        for place in (lower, (lower + 1).clamp(max=last))
    )
    return torch.lerp(first, second, share)


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
