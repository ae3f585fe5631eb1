"""warp: one of shift, scale and rotate, drawn for each image, as in the augmentation that Kim et al. evaluate with.

Kim et al., "Dataset Condensation via Efficient Synthetic-Data Parameterization", ICML 2022, arXiv 2205.14959; the
strengths are those of the three, and their shift fills with zeros where this one repeats the border.
"""

import torch
from torch import Tensor

from memcli.data.augmentations import rotate, scale, shift
from memcli.data.augmentations.base import Operation

_STILL = 0.5  # the number at which each of them leaves an image as it is
_ONE_OF = (shift.OPERATION, scale.OPERATION, rotate.OPERATION)


def _draw_warp(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """The coefficients of all three, of which two do nothing; the third number chooses, the others are its own."""
    chosen = (uniform[:, 2] * len(_ONE_OF)).long()
    draws: list[Tensor] = []
    for number, operation in enumerate(_ONE_OF):
        draws += operation.draw(torch.where((chosen == number)[:, None], uniform, _STILL), shape)
    return draws


def _warped(images: Tensor, draws: list[Tensor]) -> Tensor:
    for operation in _ONE_OF:
        images = operation.apply(images, draws)
    return images


OPERATION = Operation(
    sum(operation.tensors for operation in _ONE_OF), _draw_warp, _warped, "one of shift, scale and rotate, drawn anew"
)
