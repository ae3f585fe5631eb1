"""scale: larger or smaller by up to a fifth, each side separately."""

from torch import Tensor

from memcli.data.augmentations.base import Operation
from memcli.data.augmentations.geometry import stretched, stretches

_SCALE = 1.2  # larger or smaller by this, at most


def _draw_scale(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    return stretches(_SCALE ** (2 * uniform[:, :2] - 1), uniform.new_zeros(len(uniform), 2), shape)


OPERATION = Operation(2, _draw_scale, stretched, "larger or smaller by up to a fifth, each side separately")
