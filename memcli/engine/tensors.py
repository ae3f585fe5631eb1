"""Tuples of tensors: weights, states, controls and their derivatives all come as such."""

import torch
from torch import Tensor

from memcli import machine

Tensors = tuple[Tensor, ...]


def leaves(tensors: Tensors) -> Tensors:
    """The same values, cut from any graph, as new leaves that gradients are taken with respect to."""
    return tuple(tensor.detach().requires_grad_() for tensor in tensors)


def added(tensors: Tensors, others: Tensors, factor: float = 1.0) -> Tensors:
    """tensors + factor · others, pair by pair; differentiable, and one kernel for all where the device has one."""
    return tuple(torch._foreach_add(tensors, others, alpha=factor)) if tensors else ()


def scaled(tensors: Tensors, factor: float) -> Tensors:
    """factor · tensors, likewise."""
    return tuple(torch._foreach_mul(tensors, factor)) if tensors else ()


def free_cache(device: torch.device) -> None:
    """Give back the memory of a device that torch holds free, so that blocks of other sizes have room."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def peak_memory(device: torch.device) -> int:
    """The most bytes that this process has held at once: of a GPU's memory where `device` is one."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else machine.peak_memory()
