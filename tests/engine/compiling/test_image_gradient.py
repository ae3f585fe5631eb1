"""The gradient with respect to images as a product and a sum, against torch's own."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from memcli.engine.compiling.backends import compiled, why_not_compiled
from memcli.engine.compiling.image_gradient import image_gradient, with_image_gradients
from memcli.engine.derivatives.traced import pruned
from memcli.seeds import generator

BACKWARD = torch.ops.aten.convolution_backward.default


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(0, f"image gradient {shape}"), dtype=torch.float64)


def recorded(
    channels: int = 3,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    mask: tuple[bool, ...] = (True, True, True),
) -> tuple[GraphModule, tuple[Tensor, ...]]:
    """What of a convolution's three derivatives the mask asks for, and tensors to compute them on."""
    images, weight = random(2, channels * groups, 9, 8), random(4 * groups, channels, kernel, kernel)
    sizes: tuple[Any, ...] = ([stride] * 2, [1, 1], [dilation] * 2)
    out = torch.nn.functional.conv2d(images, weight, None, *sizes, groups)

    def derivatives(g: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        found = BACKWARD(g, x, weight, [len(weight)], *sizes, False, [0, 0], groups, list(mask))
        return tuple(part for part, asked in zip(found, mask, strict=True) if asked)

    given = (random(*out.shape), images, weight)
    return pruned(make_fx(derivatives)(*given)), given


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 2)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 0), (2, 4), (5, 3)])  # less, as much and more than the kernel reaches
def test_is_torchs_gradient(channels: int, kernel: tuple[int, int], padding: tuple[int, int]) -> None:
    images, weight = random(2, channels, 9, 7).requires_grad_(), random(4, channels, *kernel)
    out = torch.nn.functional.conv2d(images, weight, None, 1, padding)
    g = random(*out.shape)
    (wanted,) = torch.autograd.grad(out, images, g)
    torch.testing.assert_close(image_gradient(g, weight, 9, 7, padding), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mask", [(True, True, True), (True, False, True), (True, False, False)])
def test_takes_the_place_of_a_gradient_of_few_channels(mask: tuple[bool, ...]) -> None:
    operations, given = recorded(mask=mask)
    wanted = operations(*given)
    rewritten = with_image_gradients(operations)
    nodes = list(rewritten.graph.nodes)
    assert [node.args[-1] for node in nodes if node.target is BACKWARD] == (
        [[False, *mask[1:]]] if any(mask[1:]) else []
    )
    assert sum(node.target is image_gradient for node in nodes) == 1
    for found, torchs in zip(rewritten(*given), wanted, strict=True):
        torch.testing.assert_close(found, torchs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "other",
    [{"channels": 8}, {"kernel": 6}, {"stride": 2}, {"dilation": 2}, {"groups": 2}, {"mask": (False, True, True)}],
)
def test_leaves_every_other_derivative_alone(other: dict[str, Any]) -> None:
    operations, _ = recorded(**other)
    before = operations.code
    assert with_image_gradients(operations).code == before


@pytest.mark.skipif(why_not_compiled(torch.device("cpu")) is not None, reason="no working C++ compiler")
def test_is_compiled() -> None:
    operations, given = recorded()
    wanted = operations(*given)
    for found, torchs in zip(compiled(operations, given)(*given), wanted, strict=True):
        torch.testing.assert_close(found, torchs, rtol=1e-12, atol=1e-12)
