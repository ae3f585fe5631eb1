"""ZCA whitening against a slow dense reference, its inverse, and what it is for."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from memcli.data.images import LabelledImages
from memcli.data.sources import open_source, with_whitening
from memcli.data.spec import DataSpec
from memcli.data.whitening import REGULARISER, fitted, unwhitened, whitened
from memcli.errors import UsageError
from memcli.seeds import generator


def data(channels: int, height: int, width: int) -> DataSpec:
    return DataSpec("toy", channels, height, width, ("a", "b"), (0.5,) * channels, (0.25,) * channels)


def smooth(spec: DataSpec, count: int) -> Tensor:
    """Images whose neighbouring pixels and channels are alike, (count, C, H, W) float64."""
    noise = torch.randn(count, *spec.shape, generator=generator(0, "images"), dtype=torch.float64)
    near = noise + noise.roll(1, 2) + noise.roll(1, 3) + noise.roll((1, 1), (2, 3))
    return near + 0.5 * near.sum(1, keepdim=True)


def dense(images: Tensor, regulariser: float) -> Tensor:
    """ZCA's matrix, (D, D), from the covariance averaged over each ring: by cosines and sines, without a transform."""
    _, channels, height, width = images.shape
    flat = images.flatten(1)
    covariance = (flat.T @ flat / len(flat)).view(channels, height * width, channels, height * width)
    places = [(i, j) for i in range(height) for j in range(width)]
    waves: dict[int, list[Tensor]] = {}
    for i, j in places:  # a frequency: its share in the projector of its ring is cos of the phase between two places
        down, across = min(i, height - i) / height, min(j, width - j) / width
        ring = math.floor(math.hypot(down, across) * max(height, width) + 0.5)
        phase = torch.tensor([2 * math.pi * (i * y / height + j * x / width) for y, x in places]).double()
        waves.setdefault(ring, []).append(torch.cos(phase.unsqueeze(1) - phase) / len(places))
    whole = torch.zeros_like(covariance)
    for members in waves.values():
        projector = torch.stack(members).sum(0)
        mean = torch.einsum("cpdq,qp->cd", covariance, projector) / len(members)
        whole += torch.einsum("cd,pq->cpdq", mean, projector)
    size = flat.shape[1]
    values, vectors = torch.linalg.eigh(whole.reshape(size, size))
    gains = (values + regulariser * values.mean()).rsqrt()
    return vectors @ torch.diag(gains / (values * gains.square()).mean().sqrt()) @ vectors.T


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 5, 5), (2, 4, 7), (1, 1, 3), (2, 1, 1)])
@pytest.mark.parametrize("regulariser", [REGULARISER, 1.0])
def test_it_is_the_symmetric_root_of_the_inverse_of_the_covariance(
    shape: tuple[int, int, int], regulariser: float
) -> None:
    spec = data(*shape)
    images = smooth(spec, 40)
    spec = replace(spec, zca=fitted([images[:15], images[15:]], spec, regulariser))
    wanted = (images.flatten(1) @ dense(images, regulariser)).view_as(images)
    torch.testing.assert_close(whitened(images, spec), wanted, rtol=1e-5, atol=1e-5)  # factors are float32


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 9, 16), (2, 4, 64)])
def test_it_can_be_undone(shape: tuple[int, int, int]) -> None:
    spec = data(*shape)
    images = smooth(spec, 20)
    spec = replace(spec, zca=fitted([images], spec))
    torch.testing.assert_close(unwhitened(whitened(images, spec), spec), images)
    assert (whitened(images, spec) - images).abs().max() > 0.1
    assert whitened(images, spec).square().mean().item() == pytest.approx(1, rel=1e-4)


def test_neighbours_and_channels_are_less_alike() -> None:
    spec = data(3, 16, 16)
    images = smooth(spec, 400)
    spec = replace(spec, zca=fitted([images], spec, regulariser=1e-6))
    made = whitened(images, spec)
    for other in (made.roll(1, 3), made.roll(1, 2), made.roll(1, 1)):
        assert (made * other).mean().abs() < 0.02
    for other in (images.roll(1, 3), images.roll(1, 1)):
        assert (images * other).mean() / images.square().mean() > 0.3


def test_without_a_whitening_images_are_left_as_they_are() -> None:
    images = smooth(data(1, 4, 4), 2)
    assert whitened(images, data(1, 4, 4)) is images
    assert unwhitened(images, data(1, 4, 4)) is images


def test_blank_images_are_whitened_too() -> None:
    """A source of one grey level has a covariance of nothing, and normalised images of zero."""
    spec = data(1, 4, 4)
    blank = torch.zeros(3, 1, 4, 4)
    spec = replace(spec, zca=fitted([blank], spec))
    assert not whitened(blank, spec).any()


def test_a_source_with_whitening_normalises_so_and_is_otherwise_the_same() -> None:
    plain = open_source("fake:n=60,test=12,classes=3,shape=3x8x8")
    source = with_whitening(plain)
    assert source.spec == replace(plain.spec, zca=source.spec.zca)
    assert source.spec.zca, "there is a whitening"
    assert source.fingerprint == plain.fingerprint, "it is the same data"
    images: LabelledImages = source.split("train")
    assert torch.equal(images.images, plain.split("train").images)
    wanted = whitened(images.normalised(plain.spec), source.spec)
    torch.testing.assert_close(images.normalised(source.spec), wanted)
    assert wanted.square().mean().item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("shape", [(8, 4096, 4096), (16, 1024, 1024), (3, 4096, 512)])
def test_a_whitening_of_images_that_are_too_large_is_refused_before_anything_is_allocated(
    shape: tuple[int, int, int],
) -> None:
    large = data(*shape)
    message = f"images of {'x'.join(map(str, shape))} are too large to be whitened.*Leave out `zca`"
    with pytest.raises(UsageError, match=message):
        fitted([], large)
    with pytest.raises(UsageError, match=message):  # as a file would have it, that asks for a matrix a frequency
        replace(large, zca=(1.0,))
