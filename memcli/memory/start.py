"""Where a memory starts before it is learned: from the data, or from noise."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from memcli import seeds
from memcli.data.images import LabelledImages
from memcli.errors import UsageError
from memcli.memory.cells import clustered
from memcli.memory.directions import leading
from memcli.memory.memory import Memory, membership
from memcli.memory.pursuit import dictionary, levelled, of_size_one, pursued
from memcli.memory.spec import MemorySpec
from memcli.progress import Progress, Silent

_IMAGES, _MOST_NUMBERS = 5_000, 1 << 27  # real images that the start is computed from, at most, and numbers of them
_PIECE = 1 << 24  # numbers of images that are normalised at once


def start(
    kind: str,
    spec: MemorySpec,
    images: LabelledImages,
    seed: int,
    progress: Progress | None = None,
) -> Memory:
    """The memory to start from: `kind` is one of memcli.distillation.recipe.STARTS."""
    if kind == "noise":
        return from_noise(spec, seed)
    return from_data(spec, images, seed, progress=progress)


def from_noise(spec: MemorySpec, seed: int) -> Memory:
    """Xavier-uniform bases and addresses, as in [RTP]; no real image is used. Labels to learn start one-hot.

    Raises UsageError for a memory with cells, which only images tell.
    """
    for asked, what in ((spec.cells, "which pixels share a cell"), (spec.support, "which bases an image is made of")):
        if asked:
            raise UsageError(f"noise does not tell {what}", do="Start from data")
    tensors = _first_labels(spec)
    for name in ("bases", "addresses"):
        draw = torch.empty(spec.shapes[name])
        torch.nn.init.xavier_uniform_(draw, generator=seeds.generator(seed, f"start {name}"))
        tensors[name] = draw
    return Memory(spec, **tensors)


def from_data(
    spec: MemorySpec,
    images: LabelledImages,
    seed: int,
    directions: Tensor | None = None,
    *,
    progress: Progress | None = None,
) -> Memory:
    """Bases: the leading singular vectors of down-scaled real images. Addresses: those images' coefficients.

    Row i of class c recalls the best approximation, by the bases, of the i-th real image drawn from class c; a class
    with fewer than R images repeats them. Bases have pixels of root mean square 1. Labels to learn start one-hot.
    With `directions`, (m, C·H·W), bases are the leading singular vectors of those instead. Sparse addresses are on the
    few bases that serve an image best, as far as a greedy search finds them; bases are images that were fitted to be
    combined so, whatever `directions` are, each as large as makes its largest address 1.

    Images are normalised some at a time, and at most 512 MiB of them are held as numbers.
    """
    progress = progress or Silent()
    pieces = 0

    def between() -> None:
        nonlocal pieces
        pieces += 1
        progress.update(pieces)

    progress.begin("computing the start", None, "pieces")
    order = torch.randperm(len(images), generator=seeds.generator(seed, "start images"))
    some = order[: max(1, min(_IMAGES, _MOST_NUMBERS // math.prod(spec.base_shape)))]
    cells = clustered(spec, images.normalised(spec.data, some).flatten(1)) if spec.cells else None
    of_images = partial(_coordinates, spec, cells, images, between=between)
    of_classes = _first_of_each(order, images.labels[order], spec)
    if spec.support:
        bases = _exemplars(spec, of_images, of_classes, order, between)
    else:
        seen = of_images(some) if directions is None else coarse(spec, cells, directions)  # (n, C·h·w)
        bases = leading(seen, spec.bases, seed, between)
        del seen  # it may be large
    spare = spec.bases - len(bases)  # more bases than there are directions, or images: noise that no address uses yet
    noise = torch.randn(spare, bases.shape[1], generator=seeds.generator(seed, "start bases"))
    rows, supports = [], []
    for chosen in of_classes:
        repeated = torch.arange(spec.rows) % len(chosen)
        if spec.support:
            between()
            coefficients, support = pursued(of_images(chosen), torch.cat([bases, noise]), spec.support)  # (≤R, k)
            supports.append(support[repeated])
        else:
            coefficients = of_images(chosen) @ bases.T / bases.shape[1]  # (≤R, directions)
            coefficients = torch.cat([coefficients, coefficients.new_zeros(len(chosen), spare)], 1)
        rows.append(coefficients[repeated])
    addresses, bases = torch.stack(rows, 1), torch.cat([bases, noise])
    constants = {"cells": cells, "support": torch.stack(supports, 1) if supports else None}
    if constants["support"] is not None:
        addresses, bases = levelled(addresses, constants["support"], bases)
    small = bases.unflatten(1, spec.base_shape)
    if cells is not None:
        small = small / _weights(spec, cells)
    progress.end()
    return Memory(spec, small, addresses, **_first_labels(spec), **constants)


def _first_of_each(order: Tensor, labels: Tensor, spec: MemorySpec) -> list[Tensor]:
    """Of each class the first of the images numbered `order`, as many as there are rows; `labels`: theirs."""
    return [order[labels == label][: spec.rows] for label in range(len(spec.data.classes))]


def _exemplars(
    spec: MemorySpec,
    of_images: Callable[[Tensor], Tensor],
    of_classes: list[Tensor],
    order: Tensor,
    between: Callable[[], None],
) -> Tensor:
    """Bases for sparse addresses, (≤K, C·h·w): images, those that rows stand for first; fitted to many where K is less.

    `of_classes`: the images of the rows of each class; `order`: all images.
    """
    ranks = torch.cat([torch.arange(len(chosen)) for chosen in of_classes])
    first = torch.cat(of_classes)[ranks.argsort(stable=True)]  # one of each class, then another one of each
    if spec.bases >= len(first):
        others = order[~torch.isin(order, first)]
        return of_size_one(of_images(torch.cat([first, others])[: spec.bases]))
    seen = of_images(first[: max(_IMAGES, spec.bases)])
    return dictionary(seen, of_size_one(seen[: spec.bases]), spec.support, between)


def _coordinates(
    spec: MemorySpec, cells: Tensor | None, images: LabelledImages, chosen: Tensor, between: Callable[[], None]
) -> Tensor:
    """`coarse` of the images numbered `chosen`, normalised some at a time."""
    found = torch.empty(len(chosen), math.prod(spec.base_shape))
    size = max(1, _PIECE // spec.data.floats_per_image)
    for room, piece in zip(found.split(size), chosen.split(size), strict=True):
        between()
        room.copy_(coarse(spec, cells, images.normalised(spec.data, piece).flatten(1)))
    return found


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


def _first_labels(spec: MemorySpec) -> dict[str, Tensor]:
    """By name: one-hot labels in the shape that is to be learned; nothing where labels are fixed."""
    if "labels" not in spec.shapes:
        return {}
    return {"labels": torch.eye(len(spec.data.classes)).expand(spec.shapes["labels"]).contiguous()}
