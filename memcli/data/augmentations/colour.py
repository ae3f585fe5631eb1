"""colour: brightness, saturation and contrast."""

import torch
from torch import Tensor

from memcli.data.augmentations.base import Operation

_BRIGHTNESS, _SATURATION, _CONTRAST = (
    0.5,
    1.0,
    0.5,
)  # the most that is added, and that a factor of 1 changes by


def _draw_colour(uniform: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    """Brightness, which is added, and factors of saturation and contrast, (count, 3)."""
    del shape
    strengths = torch.tensor([_BRIGHTNESS, _SATURATION, _CONTRAST])
    return [(2 * uniform - 1) * strengths + torch.tensor([0.0, 1.0, 1.0])]


def _coloured(images: Tensor, draws: list[Tensor]) -> Tensor:
    brightness, saturation, contrast = draws.pop(0).to(images)[:, :, None, None, None].unbind(1)  # (count, 1, 1, 1)
    images = images + brightness
    grey = images.mean(1, keepdim=True)
    images = grey + saturation * (images - grey)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + contrast * (images - mean)


OPERATION = Operation(1, _draw_colour, _coloured, "other brightness, saturation and contrast")
