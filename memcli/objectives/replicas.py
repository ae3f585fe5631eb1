"""Replicas of an objective: each step is done several times, with draws of its own, and the outcome is the mean.

The replicas are dealt out to the ranks of a run; only sums go from one rank to another. So N ranks with a replica each
do what one rank does with N replicas, to the rounding of sums.
"""

from collections.abc import Mapping

from torch import Tensor

from memcli import seeds
from memcli.data.real import RealImages
from memcli.memory.memory import Memory
from memcli.objectives.base import Objective, Outcome, named_apart, told_apart
from memcli.ranks import Ranks

_LOSS = "loss"  # among the gradients, while they are summed


class Replicas(Objective):
    """The mean of `count` objectives that draw apart, of which this rank has `own`, by their numbers."""

    def __init__(self, own: Mapping[int, Objective], count: int, ranks: Ranks) -> None:
        self._own, self._count, self._ranks = own, count, ranks

    def step(self, memory: Memory, lr: float, real: RealImages, seed: int, step: int) -> Outcome:
        total: dict[str, Tensor] = {}
        for number, objective in self._own.items():
            outcome = objective.step(memory, lr, real, _seed(seed, number), step)
            for name, part in {**outcome.gradients, _LOSS: outcome.loss}.items():
                total[name] = total[name] + part if name in total else part
        means = {name: part / self._count for name, part in self._ranks.summed(total).items()}
        return Outcome(means.pop(_LOSS), means)

    def lighten(self) -> bool:
        lighter = [objective.lighten() for objective in self._own.values()]  # all are asked
        return all(lighter)

    def tensors(self) -> dict[str, Tensor]:
        """Of this rank's replicas, each by its number."""
        return named_apart({str(number): objective for number, objective in self._own.items()})

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what the `tensors` of all ranks returned. Each takes what is of its replicas."""
        replicas = told_apart(tensors, map(str, range(self._count)), "other replicas")
        for number, objective in self._own.items():
            objective.restore(replicas[str(number)])


def _seed(seed: int, number: int) -> int:
    """The root of all that a replica draws: of the first, the run's own."""
    return seeds.derive(seed, "replica", number) if number else seed
