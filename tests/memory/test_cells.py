"""Which pixels share a cell, and when cells are better than a grid."""

import numpy
import pytest
import torch
from sklearn.cluster import AgglomerativeClustering
from torch import Tensor

from memcli.data.images import LabelledImages
from memcli.data.sources import open_source
from memcli.data.spec import DataSpec
from memcli.memory.cells import _merged_at, clustered, wanted_cells
from memcli.memory.spec import MemorySpec
from memcli.seeds import generator

SOURCE = open_source("fake:n=60,test=10,classes=3,shape=2x8x8")
CELLED = MemorySpec(SOURCE.spec, bases=5, scale=1, rows=4, cells=9)
SHARE = 0.1  # of the budget, for the map


def test_pixels_that_vary_alike_share_a_cell() -> None:
    groups = torch.randint(9, (64,), generator=generator(0, "groups"))
    values = torch.randn(40, 2, 9, generator=generator(0, "values"))[..., groups].flatten(1)  # (40, 2·64)
    shifted = values + torch.randn(128, generator=generator(0, "means"))  # a pixel's mean does not count
    found = clustered(CELLED, shifted).flatten()
    pairs = set(zip(groups.tolist(), found.tolist(), strict=True))
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs}) == 9


def _images(groups: Tensor, noise: float) -> tuple[DataSpec, LabelledImages]:
    """300 images of 8x8 whose pixels have their group's value and some noise, and what is known of them."""
    values = torch.randn(300, int(groups.max()) + 1, generator=generator(0, "values"))[:, groups]
    values = values + noise * torch.randn(values.shape, generator=generator(0, "noise"))
    pixels = (128 + 30 * values).clamp(0, 255).to(torch.uint8).view(300, 1, 8, 8)
    spec = DataSpec("a", 1, 8, 8, ("0", "1"), (0.5,), (0.1,))
    return spec, LabelledImages(pixels, torch.arange(300) % 2)


def test_clusters_merge_where_a_clustering_of_the_points_themselves_merges_them() -> None:
    points = torch.randn(50, 40, generator=generator(0, "points")) * torch.logspace(-3, 3, 50)[:, None]
    points = torch.cat([points, points[:10], torch.zeros(5, 40)])  # some coincide
    reference = AgglomerativeClustering(1, linkage="ward", compute_distances=True).fit(points.double().numpy())
    numpy.testing.assert_allclose(_merged_at(points), reference.distances_, rtol=1e-6, atol=1e-4)
    assert (_merged_at(points) > 0.01).sum() < 64  # those that coincide merge at almost no distance


@pytest.mark.parametrize("groups", [6, 12])
def test_pixels_of_few_groups_in_no_order_want_a_cell_for_each_group(groups: int) -> None:
    order = torch.randperm(64, generator=generator(0, "groups")) % groups
    cells = wanted_cells(*_images(order, 0.1), SHARE)
    assert 0.8 * groups <= cells <= groups  # 0.8 of the variance is in so many of groups that are alike


def test_smooth_images_want_no_cells() -> None:
    squares = torch.arange(16).view(4, 4).repeat_interleave(2, 0).repeat_interleave(2, 1).flatten()
    assert wanted_cells(*_images(squares, 0.1), SHARE) == 0


def test_pixels_that_vary_each_by_itself_want_no_cells() -> None:
    assert wanted_cells(*_images(torch.arange(64), 0.0), SHARE) == 0


def test_a_map_that_takes_most_of_the_budget_is_not_wanted() -> None:
    spec, images = _images(torch.randperm(64, generator=generator(0, "groups")) % 12, 0.1)
    assert wanted_cells(spec, images, 0.7) > 0
    assert wanted_cells(spec, images, 0.9) == 0


def test_images_that_are_all_alike_want_no_cells_or_one() -> None:
    spec, images = _images(torch.arange(64), 0.0)
    same = LabelledImages(images.images[:1].expand(300, -1, -1, -1).contiguous(), images.labels)
    assert wanted_cells(spec, same, SHARE) <= 1


def test_the_variance_that_cells_keep_is_that_of_their_means() -> None:
    source = open_source("digits")
    images = source.split("train")
    cells = wanted_cells(source.spec, images, SHARE)
    for number, enough in ((cells, True), (cells - 2, False)):
        pixels = images.normalised(source.spec).flatten(1).double()
        moved = pixels - pixels.mean(0)
        of_pixel = clustered(MemorySpec(source.spec, 2, 1, 1, cells=number), pixels).flatten().long()
        lost = sum(
            float((moved[:, of_pixel == cell].var(1, correction=0)).sum() * (of_pixel == cell).sum())
            for cell in range(number)
        )
        assert (1 - lost / float(moved.square().sum()) >= 0.8) is enough
