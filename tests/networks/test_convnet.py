"""ConvNet against the literature's figures and against a slow second derivative."""

from dataclasses import replace

import pytest
import torch

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks import averaging, build
from memcli.seeds import isolated


def spec(channels: int, height: int, width: int) -> DataSpec:
    return DataSpec("test", channels, height, width, tuple("0123456789"), (0.0,) * channels, (1.0,) * channels)


def parameters(name: str, data: DataSpec) -> int:
    return sum(weight.numel() for weight in build(name, data, seed=0).parameters())


def test_parameter_counts_are_the_literatures() -> None:
    assert parameters("convnet", spec(3, 32, 32)) == 320_010
    assert parameters("convnet", spec(1, 28, 28)) == 317_706  # 28x28 is padded to 32x32


@pytest.mark.parametrize(("height", "width", "depth"), [(28, 28, 3), (9, 14, 2), (27, 31, 3), (8, 64, 3), (2, 2, 1)])
def test_sides_that_are_no_multiple_are_padded_up(height: int, width: int, depth: int) -> None:
    network, unit = build(f"convnet:width=4,depth={depth}", spec(1, height, width), seed=0), 2**depth
    cells = -(-height // unit) * -(-width // unit)
    assert network(torch.ones(2, 1, height, width)).shape == (2, 10)
    assert network.head.in_features == 4 * cells


@pytest.mark.parametrize(
    ("side", "depth", "message"), [(8, 4, "too deep for 8x8.*depth=3"), (28, 5, "depth=4"), (1, 1, "`network` mlp")]
)
def test_a_depth_that_does_not_fit_is_refused_with_one_that_does(side: int, depth: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(f"convnet:depth={depth}", spec(1, side, side), seed=0)


@pytest.mark.parametrize(("side", "depth"), [(32, 3), (28, 3), (64, 3), (16, 3), (15, 2), (8, 2), (4, 1), (2, 1)])
def test_the_depth_follows_the_side(side: int, depth: int) -> None:
    assert parameters("convnet:width=4", spec(1, side, side)) == parameters(
        f"convnet:width=4,depth={depth}", spec(1, side, side)
    )
    assert parameters("convnet:width=4,depth=auto", spec(1, side, side)) == parameters(
        "convnet:width=4", spec(1, side, side)
    )


@pytest.mark.parametrize(
    ("height", "width", "side", "factor"), [(28, 28, 14, 2), (33, 50, 14, 2), (27, 40, 14, 1), (8, 8, 14, 1)]
)
def test_images_are_averaged_down_to_a_side(height: int, width: int, side: int, factor: int) -> None:
    """As the mean of each square of `factor` pixels, of what is left of it at an edge."""
    images = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(1))
    rows, columns = (range(0, length, factor) for length in (height, width))
    means = [images[..., i : i + factor, j : j + factor].mean((-2, -1)) for i in rows for j in columns]
    small = torch.stack(means, -1).unflatten(-1, (len(rows), len(columns)))
    name = f"convnet:width=4,side={side}"
    found = build(name, spec(1, height, width), seed=0)(images)
    wanted = build("convnet:width=4", spec(1, *small.shape[2:]), seed=0)(small)
    torch.testing.assert_close(found, wanted)
    assert averaging(name, spec(1, height, width)) == factor
    averaged = spec(1, height, width).averaged(factor)
    assert (averaged.height, averaged.width) == small.shape[2:]
    assert averaging(name, averaged) == 1, "images that are averaged down already stay as they are"
    torch.testing.assert_close(build(name, averaged, seed=0)(small), wanted)


def test_whitened_images_are_averaged_down_too() -> None:
    data = spec(1, 28, 28)
    network = build("convnet:width=4,side=14", replace(data, zca=(1.0,) * data.rings), seed=0)
    assert network(torch.ones(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("norm", ["instance", "layer", "none"])
def test_second_derivatives_equal_finite_differences(norm: str) -> None:
    data = spec(1, 8, 8)
    network = build(f"convnet:width=2,depth=2,norm={norm}", data, seed=0).double()
    keys = [key for key, _ in network.named_parameters()]
    weights = tuple(weight.detach().clone().requires_grad_() for weight in network.parameters())
    image = torch.randn(1, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()

    def loss(images: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        logits = torch.func.functional_call(network, dict(zip(keys, values, strict=True)), (images,))
        return logits.square().mean()

    with isolated(0, "directions"):  # gradcheck draws them from the global generator
        assert torch.autograd.gradcheck(loss, (image, *weights), fast_mode=True)
        assert torch.autograd.gradgradcheck(loss, (image, *weights), fast_mode=True)
