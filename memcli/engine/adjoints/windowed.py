"""The adjoint of a window: training is run up to it, and differentiated inside it only."""

from dataclasses import dataclass, field, replace

from memcli.engine.adjoints.base import Adjoint, OuterGradient, OuterLoss
from memcli.engine.adjoints.stored import Stored
from memcli.engine.adjoints.sweep import advance, start
from memcli.engine.problem import InnerProblem


@dataclass(frozen=True)
class Windowed(Adjoint):
    """Trains `start` + `length` steps, and differentiates the outer loss of the weights then reached through the last
    `length` of them: weights and optimiser state at the window's start count as constants, and later batches are not
    seen. The window is differentiated by the adjoint `through`, at its cost, exactly.

    Drawing `start` at random in every outer step is the caller's. [RaT] Feng, Vedantam, Kempe, "Embarrassingly Simple
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
