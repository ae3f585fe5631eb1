"""The step-wise adjoint with checkpoints: it keeps the weights of a few steps, and rebuilds the others by segments."""

import math
from dataclasses import dataclass

from memcli.engine.adjoints.base import Adjoint, OuterGradient, OuterLoss
from memcli.engine.adjoints.sweep import Backward, advance, start, trail, vectors
from memcli.engine.problem import InnerProblem


@dataclass(frozen=True)
class Checkpointed(Adjoint):
    """Exact, with memory O(√T · |θ|) plus the activations of one step; each step is run at most three times.

    The steps are cut into segments of `every` steps; None makes ⌈√T⌉ segments. Weights and optimiser state are kept
    at the start of each segment. The last segment's points stay from the forward sweep; those of an earlier one are
    rebuilt from its start when the backward sweep reaches it, except its end, which is the next one's start.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016, applied to the steps of training.
    """

    every: int | None = None  # steps in a segment

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise ValueError(f"`every` must be 1 or more, not {self.every}")

    def outer_gradient(self, problem: InnerProblem, outer_loss: OuterLoss) -> OuterGradient:
        *earlier, last = self._segments(problem.steps)
        point, starts = start(problem), []
        for segment in earlier:
            starts.append(point)
            for t in segment:
                point = advance(problem, point, t)
        points = trail(problem, point, last)
        states, recomputed = vectors([*starts, point, *points[1:]]), problem.steps
        last_vectors = vectors(points[-1:])
        backward = Backward(problem, outer_loss, points[-1])
        backward.through(points, last.start)
        for segment in reversed(earlier):
            end, point = point, starts.pop()
            points = [*trail(problem, point, segment[:-1]), end]
            states = max(states, vectors([*starts, point, *points[1:]]) + last_vectors)  # the last, which is returned
            recomputed += len(segment) - 1
            backward.through(points, segment.start)
        return backward.result(states, recomputed)

    def _segments(self, steps: int) -> list[range]:
        """Consecutive ranges of steps; one empty range where there are none."""
        every = self.every or math.ceil(steps / max(math.ceil(math.sqrt(steps)), 1)) or 1
        return [range(first, min(first + every, steps)) for first in range(0, max(steps, 1), every)]
