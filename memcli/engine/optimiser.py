"""Inner optimisers: one step of training, and the same step seen backwards."""

from dataclasses import dataclass

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum, as torch.optim.SGD has it:

    v' = momentum · v + g,   θ' = θ - lr · v'
    """

    lr: float
    momentum: float = 0.0

    def start(self, params: Tensors) -> Tensors:
        """The state before the first step: zero velocities."""
        return tuple(torch.zeros_like(param) for param in params)

    def step(self, params: Tensors, state: Tensors, gradients: Tensors) -> tuple[Tensors, Tensors]:
        """The weights and the state after one step; new tensors, differentiable in all three arguments."""
        state = tuple(self.momentum * v + g for v, g in zip(state, gradients, strict=True))
        return tuple(p - self.lr * v for p, v in zip(params, state, strict=True)), state

    def pull_back(self, weights_bar: Tensors, state_bar: Tensors) -> tuple[Tensors, Tensors]:
        """From the adjoints of (θ', v') to a = the adjoint of g, and the adjoint of v; that of θ stays weights_bar.

        a = ν' - lr · λ',   ν = momentum · a
        """
        gradient_bar = tuple(v - self.lr * p for v, p in zip(state_bar, weights_bar, strict=True))
        return gradient_bar, tuple(self.momentum * a for a in gradient_bar)
