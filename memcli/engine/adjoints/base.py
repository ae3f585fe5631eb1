"""The interface of all ways to differentiate through training."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from memcli.engine.problem import InnerProblem
from memcli.engine.tensors import Tensors

OuterLoss = Callable[[Tensors], Tensor]  # the trained weights θ_T -> a scalar


@dataclass(frozen=True, eq=False)
class OuterGradient:
    """The outer loss, its gradient, and its cost."""

    loss: Tensor  # scalar, detached
    controls: Tensors  # d loss / d controls, one tensor of the same shape per control
    weights: Tensors  # θ_T, detached
    state: Tensors  # the optimiser's after step T, detached, for training that goes on from here
    rate: Tensor | None  # d loss / d log lr, scalar; None where the problem does not ask for it
    states: int  # the most vectors of θ's length, weights and optimiser states alike, that were kept at once
    recomputed: int  # inner steps that were run again in the backward sweep


class Adjoint(ABC):
    """A way to differentiate an outer loss of θ_T with respect to the controls of an inner problem.

    All of them equal plain autograd through the unroll; they differ in memory and time. (`Windowed` equals autograd
    through its window.)
    """

    @abstractmethod
    def outer_gradient(self, problem: InnerProblem, outer_loss: OuterLoss) -> OuterGradient:
        """Train for `problem.steps` steps, and differentiate `outer_loss` of the trained weights."""
