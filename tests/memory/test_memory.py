"""Recall against a slow reference, and the linearity that generalised queries rest on."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.memory.memory import Memory, Query, averaged_down
from memcli.memory.quantise import rounded
from memcli.memory.spec import MemorySpec
from memcli.memory.storage import SCALED_AXIS, STORAGES
from memcli.seeds import generator


def spec(scale: int = 2, height: int = 4, width: int = 6) -> MemorySpec:
    data = DataSpec("toy", 2, height, width, ("a", "b", "c"), (0.5, 0.5), (0.25, 0.25))
    return MemorySpec(data, bases=4, scale=scale, rows=5)


def random(shape: tuple[int, ...], purpose: str) -> Tensor:
    return torch.randn(shape, generator=generator(3, purpose), dtype=torch.float64)


def memory(of: MemorySpec) -> Memory:
    return Memory(of, *(random(shape, name) for name, shape in of.shapes.items()))


def mixture(of: MemorySpec, count: int = 7) -> Query:
    rows = torch.randint(of.rows, (count,), generator=generator(3, "rows"))
    return Query(rows, random((count, len(of.data.classes)), "labels"))


def reference(given: Memory, query: Query) -> Tensor:
    """Equation x_i(y) = up_s(yᵀ A_i B), one number after the other."""
    images = []
    for row, label in zip(query.rows, query.labels, strict=True):
        small = torch.zeros(given.spec.base_shape, dtype=torch.float64)
        for number in range(given.spec.bases):
            coefficient = sum(float(label[c]) * float(given.addresses[row, c, number]) for c in range(len(label)))
            small += coefficient * given.bases[number]
        factor = float(given.spec.scale)
        images.append(interpolate(small[None], scale_factor=factor, mode="bilinear", align_corners=False)[0])
    return torch.stack(images)


@pytest.mark.parametrize(
    ("scale", "height", "width"), [(1, 4, 6), (2, 4, 6), (2, 2, 6), (3, 6, 3), (4, 8, 4), (2, 28, 28), (7, 28, 14)]
)
def test_recall_is_the_reference(scale: int, height: int, width: int) -> None:
    of = spec(scale, height, width)
    given, query = memory(of), mixture(of)
    found = given.recall(query)
    assert found.shape == (7, *of.data.shape)
    torch.testing.assert_close(found, reference(given, query), rtol=0, atol=1e-12)


def test_a_class_is_recalled_by_its_one_hot_label() -> None:
    given = memory(spec())
    rows, classes = torch.tensor([4, 0, 0]), torch.tensor([2, 0, 1])
    query = Query.of_classes(rows, classes, 3)
    assert torch.equal(query.labels, torch.eye(3)[classes])
    torch.testing.assert_close(given.recall(query), reference(given, query), rtol=0, atol=1e-12)


def test_everything_is_every_row_of_every_class() -> None:
    query = Query.everything(spec())
    pairs = list(zip(query.labels.argmax(1).tolist(), query.rows.tolist(), strict=True))
    assert pairs == [(label, row) for label in range(3) for row in range(5)]
    assert torch.equal(query.labels.sum(1), torch.ones(15))


def test_a_mixture_recalls_the_mixture_of_the_classes() -> None:
    given = memory(spec())
    label = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    query = Query.of_label(given.spec, label)
    assert len(query) == 5
    classes = [given.recall(Query.of_label(given.spec, one)) for one in torch.eye(3, dtype=torch.float64)]
    expected = sum(float(share) * images for share, images in zip(label, classes, strict=True))
    torch.testing.assert_close(given.recall(query), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("part", ["labels", "addresses", "bases"])
def test_recall_is_linear(part: str) -> None:
    of = spec()
    given, query = memory(of), mixture(of)
    values: dict[str, Tensor] = {"labels": query.labels, "addresses": given.addresses, "bases": given.bases}

    def recall(value: Tensor) -> Tensor:
        now = {**values, part: value}
        return Memory(of, now["bases"], now["addresses"]).recall(Query(query.rows, now["labels"]))

    other = random(tuple(values[part].shape), "other")
    expected = 2.5 * recall(values[part]) - 1.5 * recall(other)
    torch.testing.assert_close(recall(2.5 * values[part] - 1.5 * other), expected, rtol=0, atol=1e-12)


def test_gradients() -> None:
    of = spec(height=4, width=2)
    given, query = memory(of), mixture(of, 3)

    def recall(bases: Tensor, addresses: Tensor, labels: Tensor) -> Tensor:
        return Memory(of, bases, addresses).recall(Query(query.rows, labels))

    inputs = [value.requires_grad_() for value in (given.bases, given.addresses, query.labels)]
    check: Callable[..., bool] = torch.autograd.gradcheck
    assert check(recall, inputs)


@pytest.mark.parametrize("size", [1, 4, 15, 100])
def test_chunks_are_the_whole(size: int) -> None:
    given = memory(spec())
    query = Query.everything(given.spec)
    pieces = list(query.chunks(size))
    assert all(len(piece) <= size for piece in pieces)
    together = torch.cat([given.recall(piece) for piece in pieces])
    torch.testing.assert_close(together, given.recall(query), rtol=0, atol=1e-12)


def test_the_type_of_the_memory_is_that_of_the_images() -> None:
    given = memory(spec())
    small = Memory(given.spec, given.bases.float(), given.addresses.float())
    assert small.recall(Query.everything(given.spec)).dtype == torch.float32
    assert given.recall(Query.everything(given.spec)).dtype == torch.float64


def test_moving_a_memory_keeps_its_values() -> None:
    given = memory(spec())
    moved = given.to(torch.device("cpu"))
    assert torch.equal(moved.bases, given.bases)
    assert torch.equal(moved.addresses, given.addresses)
    assert given.to(torch.device("meta")).bases.device.type == "meta"


@pytest.mark.parametrize("wrong", ["bases", "addresses", "labels"])
def test_shapes_that_do_not_fit(wrong: str) -> None:
    of = replace(spec(), labels="row")
    tensors = {name: torch.zeros(shape) for name, shape in of.shapes.items()}
    tensors[wrong] = tensors[wrong][:-1]
    with pytest.raises(UsageError, match=rf"{wrong} of shape .* do not fit a memory that needs"):
        Memory(of, **tensors)


def test_labels_that_are_missing_or_that_none_may_learn() -> None:
    tensors = {name: torch.zeros(shape) for name, shape in spec().shapes.items()}
    with pytest.raises(UsageError, match=r"labels of shape None do not fit a memory that needs \(3, 3\)"):
        Memory(replace(spec(), labels="class"), **tensors)
    with pytest.raises(UsageError, match=r"labels do not fit a memory whose labels are fixed\. Leave them out"):
        Memory(spec(), **tensors, labels=torch.eye(3))


def test_the_label_of_an_image_is_that_of_its_query_unless_labels_are_learned() -> None:
    query = mixture(spec())
    assert memory(spec()).targets(query) is query.labels


@pytest.mark.parametrize("labels", ["class", "row"])
def test_learned_labels_are_mixed_as_the_images_are(labels: str) -> None:
    of = replace(spec(), labels=labels)
    given, query = memory(of), mixture(of)
    slow = [
        [
            sum(
                float(asked[c]) * float(given.labels[c, d] if labels == "class" else given.labels[row, c, d])
                for c in range(3)
            )
            for d in range(3)
        ]
        for row, asked in zip(query.rows, query.labels, strict=True)
    ]
    torch.testing.assert_close(given.targets(query), torch.tensor(slow, dtype=torch.float64), rtol=0, atol=1e-12)
    check: Callable[..., bool] = torch.autograd.gradcheck
    inputs = given.labels.requires_grad_(), query.labels.requires_grad_()
    assert check(lambda learned, asked: replace(given, labels=learned).targets(Query(query.rows, asked)), inputs)


@pytest.mark.parametrize("storage", STORAGES)
def test_rounding_is_of_every_part_and_only_once(storage: str) -> None:
    given = memory(replace(spec(), storage=storage, labels="row"))
    once = given.rounded()
    for name, part in given.parts.items():
        assert torch.equal(once.parts[name], rounded(part, storage, SCALED_AXIS[name]))
        assert not torch.equal(once.parts[name], part)
        assert torch.equal(once.rounded().parts[name], once.parts[name])
        assert once.parts[name].dtype == torch.float64


def test_an_enlarged_memory_recalls_the_same_images_and_hands_its_gradient_to_the_bases() -> None:
    small = memory(spec())
    bases, query = small.bases.requires_grad_(), Query.everything(spec())
    found, wanted = small.enlarged().recall(query), small.recall(query)
    torch.testing.assert_close(found, wanted)
    mine, theirs = (torch.autograd.grad(images.pow(3).sum(), bases)[0] for images in (found, wanted))
    torch.testing.assert_close(mine, theirs)


CELLED = replace(spec(scale=1), cells=5)  # every pixel has one of five numbers
CELLS = torch.randint(5, (4, 6), generator=generator(3, "cells")).to(torch.uint8)


def celled() -> Memory:
    return Memory(CELLED, *(random(shape, name) for name, shape in CELLED.shapes.items()), cells=CELLS)


def test_every_pixel_has_the_number_of_its_cell() -> None:
    given, query = celled(), mixture(CELLED)
    found = given.recall(query)
    coefficients = torch.einsum("nc,nck->nk", query.labels, given.addresses[query.rows])
    for n in range(len(query)):
        for y in range(4):
            for x in range(6):
                expected = coefficients[n] @ given.bases[:, :, 0, int(CELLS[y, x])]
                torch.testing.assert_close(found[n, :, y, x], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "given", [memory(spec()), memory(spec(scale=1)), celled()], ids=["enlarged", "as they are", "on cells"]
)
def test_gradients_of_enlarged_bases_are_brought_back(given: Memory) -> None:
    query, bar = mixture(given.spec), random((7, *given.spec.data.shape), "bar")
    bases = given.bases.clone().requires_grad_()
    (expected,) = torch.autograd.grad(replace(given, bases=bases).recall(query), bases, bar)
    large = given.enlarged()
    assert (large.spec.cells, large.spec.scale) == (0, 1)
    torch.testing.assert_close(large.recall(query), given.recall(query), rtol=0, atol=1e-12)
    moved = large.bases.detach().requires_grad_()
    (at_large,) = torch.autograd.grad(replace(large, bases=moved).recall(query), moved, bar)
    shrunk = given.shrunk({"bases": at_large})["bases"]
    torch.testing.assert_close(shrunk, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("factor", [2, 3])  # 3 divides neither side
@pytest.mark.parametrize("given", [memory(spec()), celled()], ids=["enlarged", "on cells"])
def test_bases_may_be_averaged_down_before_recall_instead_of_images_after_it(given: Memory, factor: int) -> None:
    query, bases = mixture(given.spec), given.bases.clone().requires_grad_()
    wanted = averaged_down(replace(given, bases=bases).recall(query), factor)
    small = given.enlarged(factor)
    torch.testing.assert_close(small.recall(query), wanted, rtol=0, atol=1e-12)
    bar = random(tuple(wanted.shape), "bar")
    (expected,) = torch.autograd.grad(wanted, bases, bar)
    moved = small.bases.detach().requires_grad_()
    (at_small,) = torch.autograd.grad(replace(small, bases=moved).recall(query), moved, bar)
    shrunk = given.shrunk({"bases": at_small}, factor)["bases"]
    torch.testing.assert_close(shrunk, expected, rtol=0, atol=1e-12)


def test_cells_belong_to_memories_that_have_them() -> None:
    given = celled()
    assert torch.equal(given.to(torch.device("cpu")).cells, CELLS)
    with pytest.raises(UsageError, match=r"cells of shape None do not fit .*\(4, 6\).* Correct the shapes"):
        replace(given, cells=None)
    with pytest.raises(UsageError, match=r"cells of shape \(2, 2\) do not fit"):
        replace(given, cells=CELLS[:2, :2])
    with pytest.raises(UsageError, match=r"lie on a grid.*Leave them out"):
        replace(memory(spec()), cells=CELLS)


SPARSE = replace(spec(), support=2)
SUPPORT = torch.rand(5, 3, 4, generator=generator(3, "support")).argsort(-1)[..., :2].sort(-1).values


def sparse() -> Memory:
    return Memory(SPARSE, *(random(shape, name) for name, shape in SPARSE.shapes.items()), support=SUPPORT)


def test_an_image_is_made_of_the_bases_of_its_support() -> None:
    given, query = sparse(), mixture(SPARSE)
    dense = torch.zeros(5, 3, 4, dtype=torch.float64)
    for row, label, place in itertools.product(range(5), range(3), range(2)):
        dense[row, label, SUPPORT[row, label, place]] = given.addresses[row, label, place]
    spread = Memory(spec(), given.bases, dense)
    assert torch.equal(given.dense().addresses, dense)
    assert given.dense().spec == spec()
    assert torch.equal(given.recall(query), spread.recall(query))
    rows, classes = torch.tensor([4, 0, 0]), torch.tensor([1, 2, 0])
    assert torch.equal(given.recall_classes(rows, classes), spread.recall_classes(rows, classes))
    for chosen in (torch.tensor([3, 0]), torch.tensor([1])):
        for of in (given, spread):
            assert torch.equal(of.addresses_on(chosen, rows=4, classes=2), dense[:4, :2][..., chosen])


def test_sparse_recall_is_linear_and_its_gradients_are_exact() -> None:
    given, query = sparse(), mixture(SPARSE)

    def recalled(bases: Tensor, addresses: Tensor, labels: Tensor) -> Tensor:
        return Memory(SPARSE, bases, addresses, support=SUPPORT).recall(Query(query.rows, labels))

    one, other = random(tuple(query.labels.shape), "one"), random(tuple(query.labels.shape), "other")
    torch.testing.assert_close(
        recalled(given.bases, given.addresses, 2 * one - 3 * other),
        2 * recalled(given.bases, given.addresses, one) - 3 * recalled(given.bases, given.addresses, other),
    )
    inputs = tuple(part.requires_grad_() for part in (given.bases, given.addresses, query.labels.double()))
    check: Callable[..., bool] = torch.autograd.gradcheck
    assert check(recalled, inputs)


@pytest.mark.parametrize("factor", [1, 2])
def test_gradients_of_dense_addresses_are_brought_back_to_sparse_ones(factor: int) -> None:
    given, query = sparse(), mixture(SPARSE)
    parts = {name: part.clone().requires_grad_() for name, part in given.parts.items()}
    wanted = averaged_down(given.with_parts(parts).recall(query), factor)
    bar = random(tuple(wanted.shape), "bar")
    expected = torch.autograd.grad(wanted, list(parts.values()), bar)
    large = given.enlarged(factor).dense()
    moved = {name: part.detach().requires_grad_() for name, part in large.parts.items()}
    at_large = torch.autograd.grad(large.with_parts(moved).recall(query), list(moved.values()), bar)
    found = given.shrunk(dict(zip(moved, at_large, strict=True)), factor)
    for part, gradient in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(part, gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("storage", STORAGES)
def test_sparse_addresses_of_a_class_share_a_scale(storage: str) -> None:
    given = replace(sparse(), spec=replace(SPARSE, storage=storage))
    once = given.rounded()
    assert torch.equal(once.addresses, rounded(given.addresses, storage, 1))
    assert torch.equal(once.support, SUPPORT)
    assert torch.equal(once.rounded().addresses, once.addresses)


def test_a_support_belongs_to_memories_that_have_one() -> None:
    given = sparse()
    assert torch.equal(given.to(torch.device("cpu")).support, SUPPORT)
    assert memory(spec()).dense().support is None
    with pytest.raises(UsageError, match=r"support of shape None do not fit .*\(5, 3, 2\).* Correct the shapes"):
        replace(given, support=None)
    with pytest.raises(UsageError, match=r"addresses are dense.*Leave it out"):
        replace(memory(spec()), support=SUPPORT)
