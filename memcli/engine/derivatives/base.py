"""The derivatives of one step's training loss: the first, and the two second-order products of the adjoint."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from memcli.engine.tensors import Tensors, leaves

Loss = Callable[[Tensors, Tensors, Tensors], Tensor]  # (params, controls, batch) -> a scalar, and pure
Direction = Tensors | Callable[[Tensors], Tensors]  # a; or, where it depends on the gradient, the function g -> a


class Products(NamedTuple):
    """For a loss L, weights θ, controls c and a direction a, which is held fixed."""

    direction: Tensors  # a, shaped like θ
    curvature: Tensors  # ∇²_θθ L · a, shaped like θ
    mixed: Tensors  # ∂_c ⟨∇_θ L, a⟩, shaped like c


class Derivatives(ABC):
    """A way to differentiate `loss`. Keep one object for as long as its loss: it may keep recordings or timings.

    `loss(params, controls, batch)` is a function of these tensors only: the same tensors give the same value, so that
    a step can be run again, compiled or captured. All that changes from step to step comes in `batch`, which has no
    gradient. No returned tensor has a graph.
    """

    loss: Loss

    @abstractmethod
    def gradient(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensors:
        """∇_θ L; zeros for weights that the loss does not use."""

    @abstractmethod
    def products(self, params: Tensors, controls: Tensors, batch: Tensors, direction: Direction) -> Products:
        """Both second-order products along `direction`, which is shaped like θ."""


def training_gradient(loss: Loss, params: Tensors, controls: Tensors, batch: Tensors) -> Tensors:
    """∇_θ L by one reverse pass."""
    params, controls = leaves(params), tuple(control.detach() for control in controls)
    return torch.autograd.grad(loss(params, controls, batch), params, materialize_grads=True)


def along(direction: Direction, gradient: Tensors) -> Tensors:
    """a, of a direction that may depend on the gradient."""
    return direction(gradient) if callable(direction) else direction
