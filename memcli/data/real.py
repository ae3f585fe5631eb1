"""Class-balanced minibatches of real images."""

import torch
from torch import Tensor

from memcli import seeds
from memcli.data.images import LabelledImages
from memcli.data.sampling import shared_out
from memcli.data.spec import DataSpec


class RealImages:
    """Class-balanced minibatches of real images, each a function of (seed, step) alone."""

    def __init__(self, images: LabelledImages, spec: DataSpec, device: torch.device) -> None:
        self._images, self._spec, self._device = images, spec, device
        self._by_class = images.labels.argsort(stable=True)  # (N,): indices, class after class
        self._counts = images.labels.bincount(minlength=len(spec.classes))  # (classes,)
        self._starts = self._counts.cumsum(0) - self._counts  # (classes,)

    def batch(self, per_class: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """`sample` of as many images of every class, (classes · per_class, C, H, W), class after class."""
        return self.sample(per_class * len(self._counts), seed, step)

    def sample(self, images: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Normalised images (images, C, H, W) and labels, on the device.

        Drawn with replacement from classes that `data.sampling.shared_out` says.
        """
        draws = torch.rand(images, generator=seeds.generator(seed, "real", step))
        labels, _ = shared_out(images, len(self._counts), seed, step, "real")
        some = self._drawn(labels, draws)
        return some.normalised(self._spec), some.labels

    def of_classes(self, classes: Tensor, per_class: int, seed: int, step: int) -> Tensor:
        """Normalised images of these `classes`, (n,) int64, drawn with replacement: (n, per_class, C, H, W)."""
        draws = torch.rand(len(classes), per_class, generator=seeds.generator(seed, "real of classes", step))
        some = self._drawn(classes.repeat_interleave(per_class), draws.flatten())
        return some.normalised(self._spec).unflatten(0, draws.shape)

    def _drawn(self, labels: Tensor, draws: Tensor) -> LabelledImages:
        """An image of each of `labels`, (n,) int64, on the device, by a draw from [0, 1) each."""
        chosen = self._by_class[self._starts[labels] + (draws * self._counts[labels]).long()]
        return self._images.subset(chosen).to(self._device)
