"""Where a memory starts before it is learned: from the data, or from noise."""

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from memcli import seeds
from memcli.data.images import LabelledImages
from memcli.errors import UsageError
from memcli.memory.memory import Memory, membership
from memcli.memory.spec import MemorySpec

_IMAGES = 5_000  # real images that the start is computed from, at most


def start(kind: str, spec: MemorySpec, images: LabelledImages, seed: int) -> Memory:
    """The memory to start from: `kind` is one of memcli.distillation.recipe.STARTS."""
    return from_noise(spec, seed) if kind == "noise" else from_data(spec, images, seed)


def from_noise(spec: MemorySpec, seed: int) -> Memory:
    """Xavier-uniform bases and addresses, as in [RTP]; no real image is used. Labels to learn start one-hot.

    Raises UsageError for a memory with cells, which only images tell.
    """
    if spec.cells:
        raise UsageError("noise does not tell which pixels share a cell", do="Start from data")
    tensors = _first_labels(spec)
    for name in ("bases", "addresses"):
        draw = torch.empty(spec.shapes[name])
        torch.nn.init.xavier_uniform_(draw, generator=seeds.generator(seed, f"start {name}"))
        tensors[name] = draw
    return Memory(spec, **tensors)


def from_data(spec: MemorySpec, images: LabelledImages, seed: int, directions: Tensor | None = None) -> Memory:
    """Bases: the leading singular vectors of down-scaled real images. Addresses: those images' coefficients.

    Row i of class c recalls the best approximation, by the bases, of the i-th real image drawn from class c; a class
    with fewer than R images repeats them. Bases have pixels of root mean square 1. Labels to learn start one-hot.
    With `directions`, (m, C·H·W), bases are the leading singular vectors of those instead.
    """
    order = torch.randperm(len(images), generator=seeds.generator(seed, "start images"))
    some = images.normalised(spec.data, order[:_IMAGES]).flatten(1)
    cells = clustered(spec, some) if spec.cells else None
    told = coarse(spec, cells, some if directions is None else directions)  # (n, C·h·w)
    found = min(spec.bases, told.shape[1])
    bases = leading(told.T @ told, found)
    spare = spec.bases - found  # more bases than pixels: noise that no address uses yet
    noise = torch.randn(spare, told.shape[1], generator=seeds.generator(seed, "start bases"))
    labels = images.labels[order]
    rows = []
    for label in range(len(spec.data.classes)):
        chosen = order[labels == label][: spec.rows]
        pixels = coarse(spec, cells, images.normalised(spec.data, chosen).flatten(1))
        coefficients = pixels @ bases.T / pixels.shape[1]  # (≤R, found)
        repeated = coefficients[torch.arange(spec.rows) % len(chosen)]
        rows.append(torch.cat([repeated, repeated.new_zeros(spec.rows, spare)], 1))
    small = torch.cat([bases, noise]).unflatten(1, spec.base_shape)
    if cells is not None:
        small = small / _weights(spec, cells)
    return Memory(spec, small, torch.stack(rows, 1), **_first_labels(spec), cells=cells)


def clustered(spec: MemorySpec, pixels: Tensor) -> Tensor:
    """The cell of every pixel, (H, W) uint8: pixels that vary alike over images, (n, C·H·W), share one [Ward].

    Ward's clustering of pixels, each a point with its values in all images, less its mean, as coordinates.

    [Ward] Ward, "Hierarchical grouping to optimize an objective function", J. Am. Stat. Assoc. 58, 1963.
    """
    from sklearn.cluster import AgglomerativeClustering  # here, since it takes a second

    _, height, width = spec.data.shape
    points = (pixels - pixels.mean(0)).unflatten(1, spec.data.shape).permute(2, 3, 0, 1).flatten(2).flatten(0, 1)
    found = AgglomerativeClustering(spec.cells, linkage="ward").fit_predict(points.numpy())
    return torch.from_numpy(found).to(torch.uint8).view(height, width)


def coarse(spec: MemorySpec, cells: Tensor | None, pixels: Tensor) -> Tensor:
    """Images, (n, C·H·W), in the coordinates that bases have, (n, C·h·w): means of the pixels that share a number.

    Those of cells are weighted by the root of their relative size, so that everywhere the mean product of two vectors
    of coordinates is that of the images that they stand for.
    """
    images = pixels.unflatten(1, spec.data.shape)
    if cells is None:
        return avg_pool2d(images, spec.scale).flatten(1)
    member = membership(spec, cells)
    return (images.flatten(2) @ (member / member.sum(0)) * _weights(spec, cells)).flatten(1)


def _weights(spec: MemorySpec, cells: Tensor) -> Tensor:
    """The root of each cell's size relative to the mean one, (cells,)."""
    return (membership(spec, cells).sum(0) * spec.cells / cells.numel()).sqrt()


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
