"""Noise on images: independent on every pixel, or what a linear first layer sees of that."""

import pytest
import torch
from torch import Tensor, nn

from memcli.data.noise import noise_like
from memcli.data.sources import open_source
from memcli.networks import build, first_linear
from memcli.seeds import generator

DATA = open_source("fake:classes=3,shape=1x4x5").spec
IMAGES = torch.zeros(6, 1, 4, 5, dtype=torch.float64)


def layer(width: int = 7) -> nn.Linear:
    made = nn.utils.skip_init(nn.Linear, 20, width, bias=False, dtype=torch.float64)
    made.weight.data = torch.randn(width, 20, generator=generator(0, "weights"), dtype=torch.float64)
    return made


def draw(step: int = 0) -> torch.Generator:
    return generator(3, "noise", step)


def test_only_a_linear_layer_that_sees_the_pixels_is_a_first_one() -> None:
    mlp = build("mlp:width=8,depth=3", DATA, seed=0)
    first = first_linear(mlp)
    assert first is not None
    assert first.in_features == 20
    assert first_linear(build("convnet:width=4,depth=1", DATA, seed=0)) is None


@pytest.mark.parametrize(
    "first",
    [None, layer(20), layer(30), nn.utils.skip_init(nn.Linear, 5, 3)],
    ids=["convolution", "as wide", "wider", "of patches"],
)
def test_noise_that_a_layer_cannot_miss_is_independent_on_every_pixel(first: nn.Linear | None) -> None:
    assert torch.equal(noise_like(IMAGES, first, draw()), torch.randn(6, 1, 4, 5, generator=draw()).double())


def test_what_a_linear_layer_sees_has_the_covariance_that_noise_on_all_pixels_gives_it() -> None:
    first = layer()
    seen = noise_like(IMAGES, first, draw()).flatten(1)
    rows = first.weight.detach()
    # L of W Wᵀ = L Lᵀ turns independent numbers into what the layer sees of independent pixels.
    expected = torch.randn(6, 7, generator=draw()).double() @ torch.linalg.cholesky(rows @ rows.T).T
    torch.testing.assert_close(seen @ rows.T, expected, rtol=1e-3, atol=1e-3)
    inside, *_ = torch.linalg.lstsq(rows.T, seen.T)
    torch.testing.assert_close((rows.T @ inside).T, seen)  # nothing lies outside the span of the rows


def test_gradients_are_those_under_noise_on_all_pixels_on_average_and_vary_less() -> None:
    first, labels = layer(3), torch.arange(6) % 3
    images = torch.randn(6, 1, 4, 5, generator=generator(1, "images"), dtype=torch.float64)

    def gradients(seen_by: nn.Linear | None) -> Tensor:
        found = []
        for step in range(4_000):
            noisy = images + 0.5 * noise_like(images, seen_by, draw(step))
            loss = nn.functional.cross_entropy(first(noisy.flatten(1)), labels)
            found.append(torch.autograd.grad(loss, first.weight)[0])
        return torch.stack(found)

    plain, seen = gradients(None), gradients(first)
    error = ((plain.var(0) + seen.var(0)) / 4_000).sqrt()  # of the difference of the two means
    assert ((plain.mean(0) - seen.mean(0)).abs() < 5 * error).all()
    assert seen.var(0).sum() < 0.5 * plain.var(0).sum()


@pytest.mark.parametrize("weight", [torch.zeros(7, 20), torch.ones(7, 20)], ids=["zero", "all alike"])
def test_layers_without_a_span_of_full_rank_get_finite_noise(weight: Tensor) -> None:
    first = layer()
    first.weight.data = weight.double()
    seen = noise_like(IMAGES, first, draw()).flatten(1)
    assert seen.isfinite().all()
    assert (seen.std(0) < 1.5).all()
