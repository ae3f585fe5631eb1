"""InstanceNorm is torch's group norm of one group a channel, with the same two derivatives."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from memcli.engine import ForwardOverReverse, ReverseOverReverse
from memcli.networks.instance_norm import InstanceNorm
from memcli.seeds import generator, isolated

WAYS = (ForwardOverReverse, ReverseOverReverse)


def draw(name: str, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator(0, name))


def arguments() -> tuple[Tensor, Tensor, Tensor]:
    return tuple(draw(name, *shape).requires_grad_() for name, shape in (("x", (2, 3, 4, 5)), ("γ", (3,)), ("β", (3,))))


def normalise(layer: nn.Module, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional_call(layer, {"weight": weight, "bias": bias}, (x,))


def test_values_and_both_derivatives_are_those_of_group_norm() -> None:
    results = []
    for layer in (InstanceNorm(3).double(), nn.GroupNorm(3, 3).double()):
        inputs, g = arguments(), draw("g", 2, 3, 4, 5).requires_grad_()
        y = normalise(layer, *inputs)
        first = torch.autograd.grad(y, inputs, g, create_graph=True)
        cotangents = tuple(draw(f"cotangent {i}", *gradient.shape) for i, gradient in enumerate(first))
        results.append((y, *first, *torch.autograd.grad(first, (*inputs, g), cotangents, materialize_grads=True)))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)


def test_derivatives_are_those_of_finite_differences() -> None:
    layer = InstanceNorm(3).double()
    with isolated(0, "directions"):  # gradcheck draws them from the global generator
        assert torch.autograd.gradcheck(lambda *inputs: normalise(layer, *inputs), arguments())
        assert torch.autograd.gradgradcheck(lambda *inputs: normalise(layer, *inputs), arguments())


def test_any_memory_format_is_taken_and_differentiated_twice() -> None:
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        inputs = arguments()
        y = normalise(InstanceNorm(3).double(), inputs[0].contiguous(memory_format=memory_format), *inputs[1:])
        (first,) = torch.autograd.grad(y.pow(3).sum(), inputs[0], create_graph=True)
        results.append((y, first, *torch.autograd.grad(first.square().sum(), inputs[:2])))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_forward_over_reverse_is_reverse_over_reverse() -> None:
    layer = InstanceNorm(3).double()

    def loss(params: tuple[Tensor, ...], controls: tuple[Tensor, ...], _: tuple[Tensor, ...]) -> Tensor:
        return normalise(layer, controls[0] * params[2].sum(), *params[:2]).pow(3).sum()

    x, weight, bias = (argument.detach() for argument in arguments())
    params, direction = (weight, bias, bias + 1), (draw("a", 3), draw("b", 3), draw("c", 3))
    forward, reverse = (way(loss).products(params, (x,), (), direction) for way in WAYS)
    for found, wanted in ((forward.curvature, reverse.curvature), (forward.mixed, reverse.mixed)):
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_third_derivative_is_refused_rather_than_wrong() -> None:
    inputs = arguments()
    y = normalise(InstanceNorm(3).double(), *inputs)
    (first,) = torch.autograd.grad(y.square().sum(), inputs[0], create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()
