"""The interface of objectives."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from memcli.data.real import RealImages
from memcli.memory.memory import Memory


@dataclass(frozen=True)
class Outcome:
    """One look at a memory: its loss, and the loss's gradient."""

    loss: Tensor  # scalar
    gradients: dict[str, Tensor]  # by part: those of `Memory.parts`, and "log_lr" where the inner rate is learned


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
