"""The two starts of a memory."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import avg_pool2d

from memcli.data.images import LabelledImages
from memcli.data.sources import open_source
from memcli.errors import Interrupted, UsageError
from memcli.memory import start as start_module
from memcli.memory.memory import Query
from memcli.memory.spec import MemorySpec
from memcli.memory.start import coarse, from_data, from_noise, start
from memcli.memory.support import is_support
from memcli.progress import Silent
from memcli.seeds import generator

SOURCE = open_source("fake:n=60,test=10,classes=3,shape=2x8x8")
SPEC = MemorySpec(SOURCE.spec, bases=5, scale=2, rows=4)
TRAIN = SOURCE.split("train")
ALL = Query.everything(SPEC)


class Recorded(Silent):
    """A Progress that keeps the titles of stages, and how far the last one came."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.done = 0.0

    def begin(self, title: str, *_: object, **__: object) -> None:
        self.titles.append(title)

    def update(self, done: float, **_: float) -> None:
        self.done = done


def test_bases_span_the_leading_directions_of_small_real_images() -> None:
    memory = from_data(SPEC, TRAIN, seed=0)
    pixels = avg_pool2d(TRAIN.normalised(SOURCE.spec), 2).flatten(1).double()  # (60, 32)
    _, _, vectors = torch.linalg.svd(pixels)
    cosines = torch.linalg.svdvals(memory.bases.flatten(1).double() @ vectors[:5].T / 32**0.5)
    torch.testing.assert_close(cosines, torch.ones(5).double(), rtol=0, atol=1e-4)


def test_with_enough_bases_each_row_is_a_small_real_image_of_its_class() -> None:
    spec = MemorySpec(SOURCE.spec, bases=32, scale=2, rows=4)
    memory = from_data(spec, TRAIN, seed=0)
    recalled = torch.einsum("rck,kd->rcd", memory.addresses, memory.bases.flatten(1))  # (4, 3, 32)
    for label in range(3):
        own = avg_pool2d(TRAIN.subset(TRAIN.labels == label).normalised(SOURCE.spec), 2).flatten(1)
        assert torch.cdist(recalled[:, label], own).min(1).values.max() < 1e-3


def test_a_class_with_fewer_images_than_rows_repeats_them() -> None:
    few = torch.cat([torch.nonzero(TRAIN.labels == label).flatten()[:2] for label in range(3)])
    memory = from_data(SPEC, TRAIN.subset(few), seed=0)
    assert torch.equal(memory.addresses[:2], memory.addresses[2:])


def test_more_bases_than_pixels_leave_noise_that_no_address_uses() -> None:
    spec = MemorySpec(SOURCE.spec, bases=40, scale=2, rows=4)
    memory = from_data(spec, TRAIN, seed=0)
    assert memory.bases.shape == (40, 2, 4, 4)
    assert memory.bases[32:].std() > 0.5
    assert not memory.addresses[..., 32:].any()


def test_noise_sees_no_image_and_has_xavier_s_bounds() -> None:
    memory = from_noise(SPEC, seed=0)
    other = LabelledImages(TRAIN.images.flip(0), TRAIN.labels.flip(0))
    assert torch.equal(start("noise", SPEC, other, 0).bases, memory.bases)
    assert memory.bases.abs().max() <= (6 / (2 * 16 + 5 * 16)) ** 0.5  # fan in C·h·w, fan out K·h·w
    assert memory.addresses.std() > 0.1


@pytest.mark.parametrize("kind", ["data", "noise"])
@pytest.mark.parametrize("labels", ["class", "row"])
def test_labels_to_learn_start_as_those_of_the_classes(kind: str, labels: str) -> None:
    spec, query = replace(SPEC, labels=labels), Query.everything(SPEC)
    memory = start(kind, spec, TRAIN, 0)
    assert torch.equal(memory.targets(query), query.labels)
    assert torch.equal(memory.bases, start(kind, SPEC, TRAIN, 0).bases)
    memory.labels[0, 0] = 7.0  # tensors of its own, which can be moved one by one
    assert (memory.labels == 7.0).sum() == (1 if labels == "class" else 3)


@pytest.mark.parametrize("kind", ["data", "noise"])
def test_a_seed_gives_one_start(kind: str) -> None:
    one, same, other = (start(kind, SPEC, TRAIN, seed) for seed in (0, 0, 1))
    assert torch.equal(one.addresses, same.addresses)
    assert not torch.equal(one.addresses, other.addresses)
    assert torch.isfinite(one.recall(Query.everything(SPEC))).all()


CELLED = MemorySpec(SOURCE.spec, bases=5, scale=1, rows=4, cells=9)
SPARSE = MemorySpec(SOURCE.spec, bases=5, scale=1, rows=4, support=2)


def test_coordinates_keep_the_mean_product_of_images_that_cells_can_hold() -> None:
    cells = torch.randint(9, (8, 8), generator=generator(0, "groups")).to(torch.uint8)
    images = torch.randn(6, 2, 9, generator=generator(0, "values"))[..., cells.long()].flatten(1)
    told = coarse(CELLED, cells, images)
    assert told.shape == (6, 2 * 9)
    torch.testing.assert_close(told @ told.T / 18, images @ images.T / 128)


def test_with_enough_bases_on_cells_rows_are_real_images_with_cells_of_one_value() -> None:
    spec = replace(CELLED, bases=18)
    memory = from_data(spec, TRAIN, seed=0)
    assert memory.cells is not None
    recalled = memory.recall(Query.everything(spec)).flatten(2)  # (12, 2, 64)
    of_cell = [memory.cells.flatten() == cell for cell in range(9)]
    for label, row in enumerate(recalled.view(3, 4, 2, 64)):
        own = TRAIN.subset(TRAIN.labels == label).normalised(SOURCE.spec).flatten(2)
        means = torch.stack([own[..., mask].mean(-1) for mask in of_cell], -1).flatten(1)
        ours = torch.stack([row[..., mask].mean(-1) for mask in of_cell], -1).flatten(1)
        assert torch.cdist(ours, means).min(1).values.max() < 1e-3
        assert all(row[..., mask].std(-1, correction=0).max() < 1e-5 for mask in of_cell)


def test_bases_are_the_leading_directions_that_are_given() -> None:
    directions = torch.randn(2, 128, generator=generator(0, "directions"))
    memory = from_data(replace(SPEC, bases=2, scale=1), TRAIN, 0, directions)
    spanned = torch.linalg.svdvals(torch.cat([memory.bases.flatten(1), directions]))
    assert spanned[2] < 1e-3 * spanned[0]


@pytest.mark.parametrize(
    ("spec", "what"), [(CELLED, "which pixels share a cell"), (SPARSE, "which bases an image is made of")]
)
def test_noise_tells_no_cells_and_no_support(spec: MemorySpec, what: str) -> None:
    with pytest.raises(UsageError, match=rf"noise does not tell {what}.*Start from data"):
        from_noise(spec, seed=0)


@pytest.mark.parametrize("count", [1, 3])
def test_with_a_basis_for_each_row_rows_are_real_images(count: int) -> None:
    spec = MemorySpec(SOURCE.spec, bases=14, scale=1, rows=4, support=count)  # 12 images, and two more
    memory = from_data(spec, TRAIN, seed=0)
    recalled = memory.recall(Query.everything(spec)).flatten(1)
    for label, rows in enumerate(recalled.view(3, 4, -1)):
        own = TRAIN.subset(TRAIN.labels == label).normalised(SOURCE.spec).flatten(1)
        distances = torch.cdist(rows, own)
        assert distances.min(1).values.max() < 1e-2
        assert len(distances.argmin(1).unique()) == 4
    assert len(memory.bases.flatten(1).unique(dim=0)) == 14
    if count == 1:
        assert torch.equal(memory.addresses, torch.ones(4, 3, 1)), "no storage rounds them"


def test_sparse_rows_are_near_the_images_that_dense_ones_recall() -> None:
    """The same images are drawn, and the more bases each is made of, the nearer it comes."""
    images = from_data(MemorySpec(SOURCE.spec, bases=128, scale=1, rows=4), TRAIN, seed=0)
    wanted, far = images.recall(Query.everything(images.spec)), []
    for count in (1, 2, 4):
        memory = from_data(MemorySpec(SOURCE.spec, bases=6, scale=1, rows=4, support=count), TRAIN, seed=0)
        assert is_support(memory.support, memory.spec)
        far.append((memory.recall(Query.everything(memory.spec)) - wanted).square().mean().item())
    assert wanted.square().mean() > far[0] > far[1] > far[2]


def test_images_are_normalised_some_at_a_time_and_no_more_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = from_data(SPEC, TRAIN, seed=0)
    monkeypatch.setattr(start_module, "_PIECE", 7 * SOURCE.spec.floats_per_image)
    torch.testing.assert_close(from_data(SPEC, TRAIN, seed=0).recall(ALL), whole.recall(ALL))
    monkeypatch.setattr(start_module, "_MOST_NUMBERS", 20 * 32)  # twenty images of the size of bases
    order = torch.randperm(60, generator=generator(0, "start images"))
    few = avg_pool2d(TRAIN.subset(order[:20]).normalised(SOURCE.spec), 2).flatten(1).double()
    _, _, vectors = torch.linalg.svd(few)
    bases = from_data(SPEC, TRAIN, seed=0).bases.flatten(1).double()
    torch.testing.assert_close(
        torch.linalg.svdvals(bases @ vectors[:5].T / 32**0.5), torch.ones(5).double(), rtol=0, atol=1e-4
    )


def test_a_start_reports_and_can_be_stopped_where_it_does() -> None:
    seen = Recorded()
    from_data(SPEC, TRAIN, seed=0, progress=seen)
    assert seen.titles == ["computing the start"]
    assert seen.done >= 4  # the images, and the rows of three classes

    class Stopping(Recorded):
        def update(self, done: float, **_: float) -> None:
            super().update(done)
            if done == 3:
                raise Interrupted("stopped", do="Go on")

    stopping = Stopping()
    with pytest.raises(Interrupted):
        start("data", SPEC, TRAIN, 0, stopping)
    assert stopping.done == 3
