"""The interface of augmentations: coefficients are drawn, and change images."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Operation:
    """One augmentation, affine in the images, so that derivatives of any order exist.

    `draw(uniform, shape)` makes its `tensors` coefficients, each of shape (count, ...), from `uniform` (count, 3),
    numbers drawn evenly from [0, 1), for images of `shape` (C, H, W). `apply(images, draws)` changes images
    (n, C, H, W); the draws' count is n, or 1 where all images are changed alike.
    """

    tensors: int
    draw: Callable[[Tensor, tuple[int, ...]], list[Tensor]]
    apply: Callable[[Tensor, list[Tensor]], Tensor]
    about: str = ""  # a line of the documentation
