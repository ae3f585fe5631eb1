"""The adjoint of a window: training runs up to its end, and is differentiated inside it only."""

from dataclasses import dataclass, field, replace

from memcli.engine.adjoints.base import Adjoint, OuterGradient, OuterLoss
from memcli.engine.adjoints.stored import Stored
from memcli.engine.adjoints.sweep import advance, start
from memcli.engine.problem import InnerProblem


@dataclass(frozen=True)
class Windowed(Adjoint):
    """Trains `start` + `length` steps, and differentiates the outer loss of the weights after them through the last
    `length` steps. The weights and the optimiser state at the window's start count as constants; later batches are not
    used. The adjoint `through` differentiates the window exactly, at its own cost.

    The caller draws `start` at random in every outer step. [RaT] Feng, Vedantam, Kempe, "Embarrassingly Simple
    Dataset Distillation", ICLR 2024.
    """

    start: int
    length: int
    through: Adjoint = field(default_factory=Stored)

    def __post_init__(self) -> None:
        if self.start < 0 or self.length < 1:
            raise ValueError(f"a window starts at 0 or later and has a step, not ({self.start}, {self.length})")

    def outer_gradient(self, problem: InnerProblem, outer_loss: OuterLoss) -> OuterGradient:
        """Raises ValueError where the window does not fit the problem's steps."""
        end = self.start + self.length
        if end > problem.steps:
            raise ValueError(f"a window that ends after step {end} does not fit {problem.steps} steps")
        point = start(problem)
        for t in range(self.start):
            point = advance(problem, point, t)
        window = replace(
            problem,
            initial=point.weights,
            state=point.state if self.start else problem.state,
            taken=problem.taken + self.start,
            batches=problem.batches[self.start : end],
        )
        return self.through.outer_gradient(window, outer_loss)
