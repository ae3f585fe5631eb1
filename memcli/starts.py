"""Where a memory starts before it is learned: from the data, or from noise."""

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from memcli import seeds
from memcli.memory import Memory
from memcli.sources.base import LabelledImages
from memcli.spec import MemorySpec

_IMAGES = 5_000  # real images that the start is computed from, at most


def start(kind: str, spec: MemorySpec, images: LabelledImages, seed: int) -> Memory:
    """The memory to start from: `kind` is one of memcli.recipe.STARTS."""
    return from_noise(spec, seed) if kind == "noise" else from_data(spec, images, seed)


def from_noise(spec: MemorySpec, seed: int) -> Memory:
    """Xavier-uniform bases and addresses, as in [RTP]; no real image is used. Labels to learn start one-hot."""
    tensors = _first_labels(spec)
    for name in ("bases", "addresses"):
        draw = torch.empty(spec.shapes[name])
        torch.nn.init.xavier_uniform_(draw, generator=seeds.generator(seed, f"start {name}"))
        tensors[name] = draw
    return Memory(spec, **tensors)


def from_data(spec: MemorySpec, images: LabelledImages, seed: int) -> Memory:
    """Bases: the leading singular vectors of down-scaled real images. Addresses: those images' coefficients.

    Row i of class c recalls the best approximation, by the bases, of the i-th real image drawn from class c; a class
    with fewer than R images repeats them. Bases have pixels of root mean square 1. Labels to learn start one-hot.
    """
    order = torch.randperm(len(images), generator=seeds.generator(seed, "start images"))
    pixels = _small_pixels(spec, images, order[:_IMAGES])  # (n, C·h·w)
    found = min(spec.bases, pixels.shape[1])
    bases = leading(pixels.T @ pixels, found)
    spare = spec.bases - found  # more bases than pixels: noise that no address uses yet
    noise = torch.randn(spare, pixels.shape[1], generator=seeds.generator(seed, "start bases"))
    labels = images.labels[order]
    rows = []
    for label in range(len(spec.data.classes)):
        chosen = order[labels == label][: spec.rows]
        coefficients = _small_pixels(spec, images, chosen) @ bases.T / pixels.shape[1]  # (≤R, found)
        repeated = coefficients[torch.arange(spec.rows) % len(chosen)]
        rows.append(torch.cat([repeated, repeated.new_zeros(spec.rows, spare)], 1))
    small = torch.cat([bases, noise]).unflatten(1, spec.base_shape)
    return Memory(spec, small, torch.stack(rows, 1), **_first_labels(spec))


def leading(products: Tensor, count: int) -> Tensor:
    """The `count` leading eigenvectors of XᵀX, (pixels, pixels), strongest first, with pixels of root mean square 1."""
    _, vectors = torch.linalg.eigh(products.double())  # ascending eigenvalues
    found = vectors[:, -count:].flip(1).T.float() * math.sqrt(len(products))  # (count, pixels)
    return found * torch.where(found.sum(1, keepdim=True) < 0, -1, 1)  # the sign of a singular vector is arbitrary


def _first_labels(spec: MemorySpec) -> dict[str, Tensor]:
    """By name: one-hot labels in the shape that is to be learned; nothing where labels are fixed."""
    if "labels" not in spec.shapes:
        return {}
    return {"labels": torch.eye(len(spec.data.classes)).expand(spec.shapes["labels"]).contiguous()}


def _small_pixels(spec: MemorySpec, images: LabelledImages, chosen: Tensor) -> Tensor:
    """Normalised real images at the bases' size, (n, C·h·w)."""
    return avg_pool2d(images.normalised(spec.data, chosen), spec.scale).flatten(1)
