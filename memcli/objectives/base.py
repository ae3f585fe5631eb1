"""The interface of objectives: their settings, which make them, and what they do in a step."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from memcli.data.real import RealImages
from memcli.files.checkpoints import damaged, require_like
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec


@dataclass(frozen=True)
class Outcome:
    """The loss of a memory, and its gradient."""

    loss: Tensor  # scalar
    gradients: dict[str, Tensor]  # by part: those of `Memory.parts`, and "log_lr" where the inner rate is learned


class Objective(ABC):
    """A loss of memories, with a gradient. It does not move them, and every draw is a function of (seed, step)."""

    @abstractmethod
    def step(self, memory: Memory, lr: float, real: RealImages, seed: int, step: int) -> Outcome:
        """The loss of `memory` in outer step `step`, where networks are trained at rate `lr`; and its gradient."""

    def lighten(self) -> bool:
        """Use less memory for each step from now on, for the same outcome to rounding; False where that cannot be."""
        return False

    def tensors(self) -> dict[str, Tensor]:
        """What it keeps from step to step, by name, for a checkpoint; by default nothing."""
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what `tensors()` returned. MemoryFileError where it cannot have (`require_like`)."""
        require_like(tensors, {})


FAMILIES = "+"  # between the networks of several families, in a recipe
_OBJECTIVE = "objective."  # before the names of an objective's tensors in a checkpoint


def remembered(objective: Objective) -> dict[str, Tensor]:
    """What `objective` keeps from step to step, by names that no other part of a checkpoint has."""
    return {_OBJECTIVE + name: tensor for name, tensor in objective.tensors().items()}


def parted(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of a checkpoint that are not the objective's, and those that are, by the names that it gave them."""
    own = {name.removeprefix(_OBJECTIVE): each for name, each in tensors.items() if name.startswith(_OBJECTIVE)}
    return {name: each for name, each in tensors.items() if not name.startswith(_OBJECTIVE)}, own


def named_apart(objectives: Mapping[str, Objective]) -> dict[str, Tensor]:
    """What several objectives keep, each by its own name and then those that it gives."""
    return {f"{own}.{name}": each for own, several in objectives.items() for name, each in several.tensors().items()}


def told_apart(tensors: Mapping[str, Tensor], owners: Iterable[str], other: str) -> dict[str, dict[str, Tensor]]:
    """The tensors of each of `owners`, as `named_apart` names them. MemoryFileError where one is of nobody: of a run
    with `other` ones.
    """
    apart: dict[str, dict[str, Tensor]] = {owner: {} for owner in owners}
    for name, tensor in tensors.items():
        owner, dot, rest = name.partition(".")
        if owner not in apart or not dot:
            raise damaged(f"it is of a run with {other}")
        apart[owner][rest] = tensor
    return apart


@dataclass(frozen=True)
class ObjectiveSettings(ABC):
    """The settings of an objective in a stage of a recipe: a frozen dataclass of texts, numbers and booleans.

    Every field has a default, and `__post_init__` raises UsageError where a value makes no sense.
    """

    kind: ClassVar[str]  # the objective's name in recipes, under which it is registered
    newer: ClassVar[tuple[str, ...]] = ()  # fields that the first memory files did not have
    instead: ClassVar[dict[str, str]] = {}  # fields that, where they are not 0, stand for another one

    network: str = "convnet:width=32"  # "A + B": networks of A and of B take turns, one outer step each

    @property
    def turns(self) -> tuple[Self, ...]:
        """The settings of the steps that take turns: these, once for each family of networks."""
        return tuple(replace(self, network=name.strip()) for name in self.network.split(FAMILIES))

    @abstractmethod
    def make(self, spec: MemorySpec, device: torch.device, *, compile: bool, bfloat16: bool) -> "Objective":
        """The objective, for memories of `spec`.

        `compile`: its steps are compiled, and `bfloat16`: their convolutions are done in that type, where it can.
        """

    def shortest(self) -> Self:
        """The settings with which a step is quickest among those whose steps are compiled to the same code."""
        return self

    def most_rows(self, classes: int) -> int | None:
        """The rows of a class beyond which more would hardly be learned; None: there is no such limit."""
        del classes
        return None

    def recalled_images(self, classes: int) -> int:
        """The images that a minibatch has recalled from a memory of so many classes; by default one of each."""
        return classes

    def images_per_step(self, classes: int) -> int:
        """About how many recalled images an outer step trains on and differentiates through; 0 where it does not.

        The cost of a step is proportional to it. An image that is trained on alone counts as a quarter.
        """
        del classes
        return 0

    def to_json(self) -> dict[str, Any]:
        """Plain values by name. Fields that are newer than the format are left out where they have their default, and
        those that another stands for.
        """
        newer = {field.name: field.default for field in fields(self) if field.name in self.newer}
        unused = {each for total, each in self.instead.items() if getattr(self, total)}
        return {
            name: value for name, value in asdict(self).items() if newer.get(name, ...) != value and name not in unused
        }


class Shared:
    """Settings with images a step: in all, shared out by `data.sampling.shared_out`, or of each class."""

    per_class: int
    real_per_class: int
    images: int
    real_images: int

    instead: ClassVar[dict[str, str]] = {"images": "per_class", "real_images": "real_per_class"}

    def recalled_images(self, classes: int) -> int:
        """Recalled images of a minibatch."""
        return self.images or self.per_class * classes

    def outer_images(self, classes: int) -> int:
        """Real images of an outer step."""
        return self.real_images or self.real_per_class * classes


@dataclass(frozen=True)
class ObjectiveKind:
    """An objective as a recipe names it: one line of the registry, or the entry point of a plug-in."""

    settings: type[ObjectiveSettings]
