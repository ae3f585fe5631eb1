"""flip: left and right change places, in half of the draws."""

import torch
from torch import Tensor

from memcli.data.augmentations.base import Operation
from memcli.data.augmentations.geometry import stretched, stretches


def _draw_flip(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    sign = torch.where(uniform[:, 0] < 0.5, 1.0, -1.0)
    return stretches(torch.stack([torch.ones_like(sign), sign], 1), uniform.new_zeros(len(uniform), 2), shape)


OPERATION = Operation(2, _draw_flip, stretched, "left and right change places, in half of the draws")
