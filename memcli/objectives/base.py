"""The interface of objectives: their settings, which make them, and what they do in a step."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from memcli.data.real import RealImages
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec


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


@dataclass(frozen=True)
class ObjectiveSettings(ABC):
    """What a stage of a recipe says of its objective: a frozen dataclass of texts, numbers and truth values.

    Every field has a default, and `__post_init__` raises UsageError where a value makes no sense.
    """

    kind: ClassVar[str]  # the objective's name in recipes, under which it is registered
    newer: ClassVar[tuple[str, ...]] = ()  # fields that the first memory files did not have

    network: str = "convnet:width=32"

    @abstractmethod
    def make(self, spec: MemorySpec, device: torch.device, *, compile: bool, bfloat16: bool) -> "Objective":
        """The objective, for memories of `spec`.

        Where it can do that, its steps are compiled, and their convolutions done in bfloat16.
        """

    @property
    def most_rows(self) -> int | None:
        """The rows of a class beyond which more would hardly be learned; None: there is no such limit."""
        return None

    def images_per_step(self, classes: int) -> int:
        """Recalled images that training is differentiated through in an outer step; 0 where none is."""
        del classes
        return 0

    def to_json(self) -> dict[str, Any]:
        """Plain values by name. One that is newer than the format stands there only where it is not the default."""
        newer = {field.name: field.default for field in fields(self) if field.name in self.newer}
        return {name: value for name, value in asdict(self).items() if newer.get(name, ...) != value}


@dataclass(frozen=True)
class ObjectiveKind:
    """An objective as a recipe names it: one line of the registry, or the entry point of a plug-in."""

    settings: type[ObjectiveSettings]
