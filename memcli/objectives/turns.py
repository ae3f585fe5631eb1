"""Networks of several families, one after the other: each outer step trains one family's, and the next step the next's.

A memory that one family was trained on serves others less well; one that several were trained on serves them all.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from memcli import seeds
from memcli.data.real import RealImages
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.objectives.base import Objective, ObjectiveSettings, Outcome, named_apart, told_apart


class Turns(Objective):
    """Objectives that take turns. Each counts its own steps: its pool of trainings goes on as if it were alone."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = tuple(objectives)
        self._by_name = {f"turn {turn}": objective for turn, objective in enumerate(self._objectives)}

    def step(self, memory: Memory, lr: float, real: RealImages, seed: int, step: int) -> Outcome:
        own_step, turn = divmod(step, len(self._objectives))
        own_seed = seeds.derive(seed, "turn", turn) if turn else seed
        return self._objectives[turn].step(memory, lr, real, own_seed, own_step)

    def lighten(self) -> bool:
        lighter = [objective.lighten() for objective in self._objectives]  # all are asked
        return any(lighter)

    def tensors(self) -> dict[str, Tensor]:
        return named_apart(self._by_name)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        for name, own in told_apart(tensors, self._by_name, "networks of other families").items():
            self._by_name[name].restore(own)


def made(
    settings: ObjectiveSettings, spec: MemorySpec, device: torch.device, *, compile: bool, bfloat16: bool
) -> Objective:
    """The objective of those settings, for memories of `spec`: see `ObjectiveSettings.make`."""
    objectives = [each.make(spec, device, compile=compile, bfloat16=bfloat16) for each in settings.turns]
    return objectives[0] if len(objectives) == 1 else Turns(objectives)
