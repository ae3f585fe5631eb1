"""shift: by up to an eighth of a side, in each direction."""

from torch import Tensor

from memcli.data.augmentations.base import Operation
from memcli.data.augmentations.geometry import stretched, stretches

_SHIFT = 0.125  # of a side, at most


def _draw_shift(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    return stretches(uniform.new_ones(len(uniform), 2), (2 * uniform[:, :2] - 1) * _SHIFT, shape)


OPERATION = Operation(2, _draw_shift, stretched, "moved by up to an eighth of a side, in each direction")
