"""Differentiable augmentation of normalised images [DSA], by the operations of memcli.data.augmentations.

Every operation is affine in the images, with coefficients that do not depend on them: `draw` makes tensors, and
`apply` uses them. So recalled and real images can share a draw, a training step can be run again, and derivatives of
any order exist. Geometry is linear interpolation along one side (memcli.data.augmentations.geometry); pixels beyond the
border repeat it. A rotation is three shears (Paeth, "A Fast Algorithm for General Raster Rotation", 1986).

[DSA] Zhao, Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", ICML 2021; the strengths are theirs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from memcli.data.augmentations import AUGMENTATIONS, augmentations
from memcli.seeds import generator


@dataclass(frozen=True)
class Augmentation:
    """The operations named in `text`, "shift,rotate" for instance, one after the other in the order of AUGMENTATIONS.

    Raises UsageError where a name is unknown.
    """

    text: str

    def __post_init__(self) -> None:
        augmentations(self.text)

    def draw(self, shape: tuple[int, ...], seed: int, step: int, count: int = 1) -> tuple[Tensor, ...]:
        """The coefficients for images (C, H, W): of `count` separate draws; or of 1, for all images alike.

        A pure function of its arguments; on the CPU. Empty where nothing is to be done.
        """
        draws: list[Tensor] = []
        for name in augmentations(self.text):
            uniform = torch.rand(count, 3, generator=generator(seed, f"augment {name}", step))
            draws += AUGMENTATIONS[name].draw(uniform, shape)
        return tuple(draws)

    def apply(self, images: Tensor, draws: tuple[Tensor, ...]) -> Tensor:
        """`images` (n, C, H, W) under `draws` of `draw`, whose count is n or 1."""
        left = list(draws)
        for name in augmentations(self.text):
            operation = AUGMENTATIONS[name]
            images = operation.apply(images, left[: operation.tensors])
            del left[: operation.tensors]
        return images
