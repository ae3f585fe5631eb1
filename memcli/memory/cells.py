"""Groups of pixels that vary alike, which may share a number in a basis."""

import numpy
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from memcli import seeds
from memcli.data.images import LabelledImages
from memcli.data.spec import DataSpec
from memcli.memory.spec import MemorySpec, most_cells

_SEEN = 500  # images that the number of cells is chosen by: it is the same within 3 % as by 5,000
_KEPT, _CHEAPER = 0.8, 1.25  # the variance that cells keep at least; how much less than a grid they cost (docs/log/)


def clustered(spec: MemorySpec, pixels: Tensor) -> Tensor:
    """The cell of every pixel, (H, W) uint8: pixels that vary alike over images, (n, C·H·W), share one [Ward].

    Ward's clustering of pixels, each a point with its values in all images, less its mean, as coordinates.

    [Ward] Ward, "Hierarchical grouping to optimize an objective function", J. Am. Stat. Assoc. 58, 1963.
    """
    from sklearn.cluster import AgglomerativeClustering  # here, since it takes a second

    _, height, width = spec.data.shape
    points = _points(spec.data, pixels).numpy()
    found = AgglomerativeClustering(spec.cells, linkage="ward").fit(points).labels_
    return torch.from_numpy(found).to(torch.uint8).view(height, width)


def wanted_cells(data: DataSpec, images: LabelledImages, share: float) -> int:
    """How many cells serve a memory of `images` better than bases of half the size do; 0 where none do.

    As many as keep what such a basis keeps of the images' variance, and at least 0.8. They serve where a basis that
    keeps as much on a grid has 1.25 times as many numbers, or more; the map of cells is counted, which takes `share` of
    the budget. The seed of a run does not change it.
    """
    if data.zca or not most_cells(data):  # whitened pixels do not vary alike
        return 0
    some = torch.randperm(len(images), generator=seeds.generator(0, "cells"))[:_SEEN]
    pixels = images.normalised(data, some).flatten(1)
    kept_by_half = _kept_by_half(data, pixels)
    cells = _least_that_keep(max(_KEPT, kept_by_half), _points(data, pixels))
    on_grid = data.height * data.width // (4 if kept_by_half >= _KEPT else 1)
    return cells if cells <= most_cells(data) and on_grid * (1 - share) >= _CHEAPER * cells else 0


def _points(data: DataSpec, pixels: Tensor) -> Tensor:
    """A row for each pixel of images, (n, C·H·W): its values in all of them less its mean, (H·W, n·C)."""
    return (pixels - pixels.mean(0)).unflatten(1, data.shape).permute(2, 3, 0, 1).flatten(2).flatten(0, 1)


def _kept_by_half(data: DataSpec, pixels: Tensor) -> float:
    """The share of the variance of images, (n, C·H·W), that a number for each square of four pixels can hold."""
    moved = (pixels - pixels.mean(0)).unflatten(1, data.shape)
    return float(4 * avg_pool2d(moved, 2).square().sum() / moved.square().sum().clamp_min(1e-12))


def _least_that_keep(share: float, points: Tensor) -> int:
    """The least number of cells whose means keep this share of the sum of squares of `points`, (pixels, values)."""
    distances = _merged_at(points)
    lost = numpy.append(numpy.cumsum(distances**2 / 2)[::-1], 0)  # with 1, 2, ... cells
    return 1 + int(numpy.argmax(lost <= (1 - share) * float(points.double().square().sum()) + 1e-9))


def _merged_at(points: Tensor) -> numpy.ndarray:
    """The distance of two clusters at each of Ward's merges of `points`: the root of twice what the merge loses.

    Distances of points come from one matrix product: for photographs of 64x64, the usual way takes five seconds.
    """
    from scipy.cluster.hierarchy import linkage  # here, since it takes half a second
    from scipy.spatial.distance import squareform

    points = points.double()
    squares = points.square().sum(1)
    between = torch.addmm(squares[:, None] + squares, points, points.T, alpha=-2).clamp_(min=0).sqrt_()
    return linkage(squareform(between.numpy(), checks=False), "ward")[:, 2]
