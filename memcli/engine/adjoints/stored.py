"""The step-wise adjoint: it keeps the weights of every step, and the activations of none."""

from memcli.engine.adjoints.base import Adjoint, OuterGradient, OuterLoss
from memcli.engine.adjoints.sweep import Backward, start, trail, vectors
from memcli.engine.problem import InnerProblem


class Stored(Adjoint):
    """Exact, and the default: memory O(T · |θ|) plus the activations of one step; each step is run twice.

    It keeps T + 1 vectors of θ's length, and the last state; for Adam, whose adjoint reads states, 3 T + 1.
    The derivation is in docs/derivations/adjoint.md. [RTP, sec. 3.3]; Maclaurin et al., ICML 2015.
    """

    def outer_gradient(self, problem: InnerProblem, outer_loss: OuterLoss) -> OuterGradient:
        points = trail(problem, start(problem), range(problem.steps))
        states = vectors(points)
        backward = Backward(problem, outer_loss, points[-1])
        backward.through(points, 0)
        return backward.result(states, problem.steps)
