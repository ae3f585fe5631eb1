"""Reverse over reverse: autograd through the gradient."""

from dataclasses import dataclass

import torch

from memcli.engine.derivatives.base import Derivatives, Direction, Loss, Products, along, training_gradient
from memcli.engine.tensors import Tensors, leaves


@dataclass(frozen=True, eq=False)
class ReverseOverReverse(Derivatives):
    """Records the computation of the gradient, and pulls a back through it. For any loss that is differentiable twice.

    One pass gives the curvature and the mixed product, and the gradient is known before a is needed.
    """

    loss: Loss

    def gradient(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensors:
        return training_gradient(self.loss, params, controls, batch)

    def products(self, params: Tensors, controls: Tensors, batch: Tensors, direction: Direction) -> Products:
        params, controls = leaves(params), leaves(controls)
        loss = self.loss(params, controls, batch)
        recorded = torch.autograd.grad(loss, params, create_graph=True, materialize_grads=True)
        direction = along(direction, tuple(g.detach() for g in recorded))
        pairs = [(g, a) for g, a in zip(recorded, direction, strict=True) if g.requires_grad]
        if not pairs:  # the loss is linear in the weights, whatever the controls
            second = tuple(torch.zeros_like(tensor) for tensor in (*params, *controls))
        else:
            gradients, bars = zip(*pairs, strict=True)
            second = torch.autograd.grad(gradients, params + controls, bars, materialize_grads=True)
        return Products(direction, second[: len(params)], second[len(params) :])
