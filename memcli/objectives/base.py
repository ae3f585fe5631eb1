"""The interface of objectives, and the real minibatches that they measure a memory against."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from memcli import seeds
from memcli.memory import Memory
from memcli.sources.base import LabelledImages
from memcli.spec import DataSpec


@dataclass(frozen=True)
class Outcome:
    """One look at a memory: its loss, and the loss's gradient."""

    loss: Tensor  # scalar
    gradients: dict[str, Tensor]  # by part: those of `Memory.parts`, and "log_lr" where the inner rate is learned


class RealImages:
    """Class-balanced minibatches of real images, pure in (seed, step)."""

    def __init__(self, images: LabelledImages, spec: DataSpec, device: torch.device) -> None:
        self._images, self._spec, self._device = images, spec, device
        self._by_class = images.labels.argsort(stable=True)  # (N,): indices, class after class
        self._counts = images.labels.bincount(minlength=len(spec.classes))  # (classes,)
        self._starts = self._counts.cumsum(0) - self._counts  # (classes,)

    def batch(self, per_class: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Normalised images (classes · per_class, C, H, W) and labels, drawn with replacement, on the device."""
        draws = torch.rand(len(self._counts), per_class, generator=seeds.generator(seed, "real", step))
        offsets = (draws * self._counts.unsqueeze(1)).long()  # (classes, per_class), below the counts
        chosen = self._by_class[self._starts.unsqueeze(1) + offsets].flatten()
        images = self._images.subset(chosen).to(self._device)
        return images.normalised(self._spec), images.labels


class Objective(ABC):
    """A measure of memories with a gradient. It owns no optimiser of them, and every draw is pure in (seed, step)."""

    @abstractmethod
    def step(self, memory: Memory, lr: float, real: RealImages, seed: int, step: int) -> Outcome:
        """The loss of `memory` in outer step `step`, where networks are trained at rate `lr`; and its gradient."""

    def tensors(self) -> dict[str, Tensor]:
        """What it remembers from step to step, by name, for a checkpoint: nothing, unless an objective says so."""
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `tensors()` told."""
        assert not tensors, "this objective remembers nothing"
