"""InstanceNorm is torch's group norm of one group a channel, with the same two derivatives."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from memcli.networks.instance_norm import InstanceNorm
from memcli.seeds import generator, isolated


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


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_any_memory_format_is_taken(memory_format: torch.memory_format) -> None:
    x = draw("x", 2, 3, 4, 5)
    found = InstanceNorm(3).double()(x.contiguous(memory_format=memory_format))
    torch.testing.assert_close(found, nn.GroupNorm(3, 3).double()(x))


def test_a_third_derivative_is_refused_rather_than_wrong() -> None:
    inputs = arguments()
    y = normalise(InstanceNorm(3).double(), *inputs)
    (first,) = torch.autograd.grad(y.square().sum(), inputs[0], create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()
