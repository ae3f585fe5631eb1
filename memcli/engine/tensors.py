"""Tuples of tensors: weights, states, controls and their derivatives all come as such."""

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]


def leaves(tensors: Tensors) -> Tensors:
    """The same values, cut from any graph, as new leaves that gradients are taken with respect to."""
    return tuple(tensor.detach().requires_grad_() for tensor in tensors)


def added(one: Tensors, other: Tensors, factor: float = 1.0) -> Tensors:
    """one + factor · other, pair by pair; one kernel for all pairs where the device has such, and differentiable."""
    return tuple(torch._foreach_add(one, other, alpha=factor)) if one else ()


def scaled(tensors: Tensors, factor: float) -> Tensors:
    """factor · tensors, likewise."""
    return tuple(torch._foreach_mul(tensors, factor)) if tensors else ()
