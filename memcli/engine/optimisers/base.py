"""The interface of inner optimisers.

All of them move the weights by θ' = θ - lr · u, where the update u and the next state do not depend on the rate; and
all of them add weight decay to the gradient, as torch.optim does: ĝ = g + weight_decay · θ.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor

from memcli.engine.derivatives.base import Direction
from memcli.engine.tensors import Tensors, added


class Pulled(NamedTuple):
    """The adjoint of a step, as far as it goes before the loss is differentiated."""

    direction: Direction  # a = the adjoint of ĝ, or the function of g that gives it
    state_bar: Tensors  # the adjoint of the state before the step


class Optimiser(ABC):
    """Frozen settings, no state of its own. Step number t counts from 0. States are tuples of tensors like weights."""

    lr: float
    weight_decay: float
    needs_state: ClassVar[bool]  # whether `pull_back` reads the state after the step, so that adjoints must keep it

    @abstractmethod
    def start(self, params: Tensors) -> Tensors:
        """The state before the first step: zeros, as many as the optimiser needs, each shaped like a weight."""

    @abstractmethod
    def update(self, params: Tensors, state: Tensors, gradients: Tensors, t: int) -> tuple[Tensors, Tensors]:
        """u and the next state of step t; new tensors, differentiable in all three tuples."""

    @abstractmethod
    def pull_back(
        self, params: Tensors, state_after: Tensors, weights_bar: Tensors, state_bar: Tensors, t: int
    ) -> Pulled:
        """The adjoint of step t, from the adjoints of (θ', state') after it.

        `params` are θ before the step; `state_after` may be empty where `needs_state` is false. The adjoint of θ is
        weights_bar + weight_decay · a + the curvature's part, which the caller adds.
        """


@dataclass(frozen=True)
class InnerOptimiserKind:
    """An inner optimiser as a recipe names it: one line of the registry, or the entry point of a plug-in."""

    make: Callable[[float, float], Optimiser]  # from the rate and the recipe's momentum


def descend(params: Tensors, update: Tensors, lr: float | Tensor) -> Tensors:
    """θ - lr · u. A tensor as rate, of no dimensions, may be differentiated with respect to."""
    if isinstance(lr, Tensor):  # the kernels for many tensors at once have no derivative with respect to a factor
        return tuple(p - lr * u for p, u in zip(params, update, strict=True))
    return added(params, update, -lr)


def require_positive(what: str, value: float) -> None:
    """Raise ValueError where a setting is not a positive number."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"`{what}` must be a positive number, not {value}")


def require_share(what: str, value: float) -> None:
    """Raise ValueError where a setting is not in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"`{what}` must be in [0, 1), not {value}")


def require_decay(value: float) -> None:
    """Raise ValueError where the weight decay is negative or no number."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"`weight_decay` must be 0 or more, not {value}")
