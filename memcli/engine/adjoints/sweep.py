"""The two sweeps that adjoints are made of: forward through the steps, and backward through their derivatives."""

from typing import NamedTuple

import torch

from memcli.engine.adjoints.base import OuterGradient, OuterLoss
from memcli.engine.optimisers import descend
from memcli.engine.problem import InnerProblem
from memcli.engine.tensors import Tensors, added, leaves


class InnerPoint(NamedTuple):
    """Where training stands between two steps."""

    weights: Tensors  # θ_t
    state: Tensors  # the optimiser's; empty where it is no longer needed


def start(problem: InnerProblem) -> InnerPoint:
    """Where training starts."""
    weights = tuple(param.detach() for param in problem.initial)
    return InnerPoint(weights, problem.optimiser.start(weights) if problem.state is None else problem.state)


def advance(problem: InnerProblem, point: InnerPoint, t: int) -> InnerPoint:
    """The point after step t."""
    optimiser = problem.optimiser
    gradients = problem.derivatives.gradient(point.weights, problem.controls, problem.batches[t])
    update, state = optimiser.update(point.weights, point.state, gradients, problem.taken + t)
    return InnerPoint(descend(point.weights, update, optimiser.lr), state)


def trail(problem: InnerProblem, point: InnerPoint, steps: range) -> list[InnerPoint]:
    """`point` and the points after each of `steps`. Only states that an adjoint reads are kept, and the last one."""
    points = [point]
    for t in steps:
        following = advance(problem, points[-1], t)
        if t == steps.start or not problem.optimiser.needs_state:  # adjoints read the state after a step, if any
            points[-1] = InnerPoint(points[-1].weights, ())
        points.append(following)
    return points


def vectors(points: list[InnerPoint]) -> int:
    """How many vectors of θ's length the points hold."""
    return sum(len(weights + state) // len(weights) for weights, state in points)


class Backward:
    """The backward sweep: it holds the adjoints λ of the weights and ν of the state, and sums up the gradient."""

    def __init__(self, problem: InnerProblem, outer_loss: OuterLoss, end: InnerPoint) -> None:
        """`end` is the point after step T, where the sweep begins."""
        final = leaves(end.weights)
        loss = outer_loss(final)
        self._problem, self._end, self._loss = problem, end, loss.detach()
        self._weights_bar = torch.autograd.grad(loss, final, materialize_grads=True)  # λ
        self._state_bar = problem.optimiser.start(final)  # ν = 0
        self._controls_bar = tuple(torch.zeros_like(control) for control in problem.controls)
        self._rate_bar = torch.zeros_like(self._loss) if problem.learn_rate else None

    def through(self, points: list[InnerPoint], first: int) -> None:
        """Go back over the steps between `points`, of which the first is step `first`. Empties the list."""
        after = points.pop()
        while points:
            before = points.pop()
            self._step(first + len(points), before, after)
            after = before

    def result(self, states: int, recomputed: int) -> OuterGradient:
        return OuterGradient(self._loss, self._controls_bar, *self._end, self._rate_bar, states, recomputed)

    def _step(self, t: int, before: InnerPoint, after: InnerPoint) -> None:
        problem, optimiser = self._problem, self._problem.optimiser
        if self._rate_bar is not None:  # θ' = θ - lr · u, so d θ' / d log lr = θ' - θ
            moved = torch._foreach_mul(torch._foreach_sub(after.weights, before.weights), self._weights_bar)
            self._rate_bar = self._rate_bar + torch.stack([part.sum() for part in moved]).sum()
        pulled = optimiser.pull_back(before.weights, after.state, self._weights_bar, self._state_bar, problem.taken + t)
        products = problem.derivatives.products(before.weights, problem.controls, problem.batches[t], pulled.direction)
        if optimiser.weight_decay:
            self._weights_bar = added(self._weights_bar, products.direction, optimiser.weight_decay)
        self._weights_bar = added(self._weights_bar, products.curvature)
        self._controls_bar = added(self._controls_bar, products.mixed)
        self._state_bar = pulled.state_bar
