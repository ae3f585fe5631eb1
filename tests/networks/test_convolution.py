"""Convolution is torch's, with the same two derivatives, for every shape."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from memcli.engine import ForwardOverReverse, ReverseOverReverse
from memcli.networks.convolution import Convolution
from memcli.seeds import generator, isolated

SHAPES = {
    "plain": {"kernel_size": 3, "padding": 1},
    "strided": {"kernel_size": 3, "padding": 1, "stride": 2},
    "uneven": {"kernel_size": (3, 2), "padding": (2, 1), "stride": (1, 2), "dilation": (1, 2)},
    "grouped": {"kernel_size": 3, "groups": 2},
    "without bias": {"kernel_size": 1, "bias": False},
}


def draw(name: str, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=generator(0, name))


def layer(kind: type[nn.Conv2d], shape: str) -> nn.Conv2d:
    with isolated(0, "weights"):
        return kind(2, 4, **SHAPES[shape]).double()


def arguments(module: nn.Conv2d) -> tuple[Tensor, ...]:
    return (draw("x", 2, 2, 5, 6).requires_grad_(), *(p.detach().requires_grad_() for p in module.parameters()))


def convolve(module: nn.Conv2d, x: Tensor, *params: Tensor) -> Tensor:
    names = [name for name, _ in module.named_parameters()]
    return functional_call(module, dict(zip(names, params, strict=True)), (x,))


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_both_derivatives_are_those_of_torch(shape: str) -> None:
    results = []
    for kind in (Convolution, nn.Conv2d):
        module = layer(kind, shape)
        inputs = arguments(module)
        y = convolve(module, *inputs)
        g = draw("g", *y.shape).requires_grad_()
        first = torch.autograd.grad(y, inputs, g, create_graph=True)
        cotangents = tuple(draw(f"cotangent {i}", *gradient.shape) for i, gradient in enumerate(first))
        second = torch.autograd.grad(first, (*inputs[:2], g), cotangents, retain_graph=True)
        alone = [torch.autograd.grad(first[i], g, cotangents[i], retain_graph=True)[0] for i in range(len(first))]
        results.append((y, *first, *second, *alone))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_derivatives_are_those_of_finite_differences(shape: str) -> None:
    module = layer(Convolution, shape)
    with isolated(0, "directions"):  # gradcheck draws them from the global generator
        assert torch.autograd.gradcheck(lambda *inputs: convolve(module, *inputs), arguments(module), fast_mode=True)
        assert torch.autograd.gradgradcheck(
            lambda *inputs: convolve(module, *inputs), arguments(module), fast_mode=True
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_over_reverse_is_reverse_over_reverse(shape: str) -> None:
    module = layer(Convolution, shape)

    def loss(params: tuple[Tensor, ...], controls: tuple[Tensor, ...], _: tuple[Tensor, ...]) -> Tensor:
        return convolve(module, controls[0] * params[0].sum(), *params).pow(3).sum()

    x, *params = (argument.detach() for argument in arguments(module))
    direction = tuple(draw(f"a{i}", *param.shape) for i, param in enumerate(params))
    forward, reverse = (
        way(loss).products(tuple(params), (x,), (), direction) for way in (ForwardOverReverse, ReverseOverReverse)
    )
    for found, wanted in ((forward.curvature, reverse.curvature), (forward.mixed, reverse.mixed)):
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_third_derivative_is_refused_rather_than_wrong() -> None:
    module = layer(Convolution, "plain")
    inputs = arguments(module)
    (first,) = torch.autograd.grad(convolve(module, *inputs).pow(2).sum(), inputs[0], create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second.sum().backward()
