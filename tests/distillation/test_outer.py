"""The outer loop: steps, rates, clipping, retreats from numbers that are not finite, and exact continuation."""

import math
from dataclasses import replace

import pytest
import torch

from memcli import seeds
from memcli.data.spec import DataSpec
from memcli.distillation.outer import OuterLoop
from memcli.distillation.recipe import Outer
from memcli.errors import DivergedError, MemoryFileError
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.memory.storages.codes import quantise
from memcli.objectives import Outcome

SPEC = MemorySpec(DataSpec("d", 1, 4, 4, ("a", "b"), (0.5,), (0.2,)), bases=2, scale=2, rows=3)
ADAM = Outer("adam", lr=0.1, momentum=0.9, clip=1e9, decay=0.0, average=0.0)
SGD = replace(ADAM, optimiser="sgd", momentum=0.5)
MUON = replace(ADAM, optimiser="muon")


def draw(name: str, step: int = 0) -> Memory:
    shapes = SPEC.shapes
    return Memory(
        SPEC, *(torch.randn(shapes[part], generator=seeds.generator(0, f"{name} {part}", step)) for part in shapes)
    )


def outcome(step: int, loss: float = 1.0) -> Outcome:
    gradient = draw("gradient", step)
    return Outcome(torch.tensor(loss), {**gradient.parts, "log_lr": torch.tensor(0.5)})


def test_sgd_with_momentum_moves_as_by_hand() -> None:
    start = draw("start")
    loop = OuterLoop(start, 0.02, SGD)
    wanted, velocity = start.bases.clone(), torch.zeros_like(start.bases)
    for step in range(3):
        loop.move(outcome(step), 0.0)
        velocity = 0.5 * velocity + outcome(step).gradients["bases"]
        wanted = wanted - 0.1 * velocity
    torch.testing.assert_close(loop.here.memory.bases, wanted)
    assert loop.step == 3
    assert torch.equal(start.bases, draw("start").bases), "the start was moved"


@pytest.mark.parametrize("part", ["bases", "addresses"])
def test_muon_moves_matrices_in_all_their_directions_alike(part: str) -> None:
    """The step is about the orthogonal factor of the gradient, with a root mean square of about 0.2 of the rate."""
    start, found = draw("start"), outcome(0)
    matrix = {"bases": (2, 4), "addresses": (6, 2)}[part]  # (K, pixels) and (R · classes, K)
    skewed = found.gradients[part].reshape(matrix) * torch.tensor([1.0, 0.01]).view((2, 1) if part == "bases" else (2,))
    found.gradients[part] = skewed.view(start.parts[part].shape)
    loop = OuterLoop(start, 0.02, MUON)
    loop.move(found, 0.0)
    step = (start.parts[part] - loop.here.memory.parts[part]).reshape(matrix).double()
    left, _, right = torch.linalg.svd(skewed.double(), full_matrices=False)
    sizes = left.T @ step @ right.T / (0.1 * 0.2 * math.sqrt(max(matrix)))  # the unit matrix, were it exact
    assert sizes.diagonal().min() > 0.6
    assert sizes.diagonal().max() < 1.3
    torch.testing.assert_close(sizes, torch.diag(sizes.diagonal()), rtol=0, atol=0.05)


def test_muon_leaves_what_is_no_matrix_to_adam() -> None:
    loop = OuterLoop(draw("start"), 0.02, MUON)
    loop.move(outcome(0), 0.0)
    assert loop.here.lr == pytest.approx(0.02 * math.exp(-0.1))  # Adam's first step is the rate itself


def test_the_gradient_is_clipped_over_both_tensors_together() -> None:
    start = draw("start")
    loop = OuterLoop(start, 0.02, replace(SGD, clip=0.5, lr=1.0))
    loop.move(outcome(0), 0.0)
    moved = torch.cat(
        [(loop.here.memory.bases - start.bases).flatten(), (loop.here.memory.addresses - start.addresses).flatten()]
    )
    rate = math.log(loop.here.lr / 0.02)
    assert math.hypot(moved.norm(), rate) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("last", "finished", "share"),
    [
        (0.1, 0.0, 1.0),
        (0.1, 0.5, 1.0),
        (0.1, 0.75, 0.55),
        (0.1, 1.0, 0.1),
        (0.0, 0.5, 1.0),
        (0.0, 0.75, 0.5),
        (0.0, 1.0, 0.0),
    ],
)
def test_the_rate_falls_by_a_cosine_to_its_last_share(last: float, finished: float, share: float) -> None:
    start = draw("start")
    loop = OuterLoop(start, 0.02, replace(SGD, decay=0.5, last=last))
    loop.move(outcome(0), finished)
    torch.testing.assert_close(loop.here.memory.bases, start.bases - 0.1 * share * outcome(0).gradients["bases"])


def test_the_rate_moves_by_its_logarithm() -> None:
    loop = OuterLoop(draw("start"), 0.02, SGD)
    loop.move(outcome(0), 0.0)
    assert loop.here.lr == pytest.approx(0.02 * math.exp(-0.1 * 0.5))


def test_the_best_memory_is_kept_and_does_not_move() -> None:
    loop = OuterLoop(draw("start"), 0.02, ADAM)
    loop.move(outcome(0), 0.0)
    loop.consider(0.7)
    kept = loop.here.memory.bases.clone()
    loop.move(outcome(1), 0.0)
    loop.consider(0.6)
    assert loop.best_accuracy == 0.7
    assert torch.equal(loop.best.memory.bases, kept)


def test_the_average_follows_the_memory_as_by_hand() -> None:
    start = draw("start")
    loop = OuterLoop(start, 0.02, replace(SGD, average=0.2))
    wanted = start.bases.clone()
    for step in range(4):
        loop.move(outcome(step), 0.0)
        keep = min(0.2, (step + 1) / (step + 11))  # 1/11, 2/12, 0.2, 0.2
        wanted = keep * wanted + (1 - keep) * loop.here.memory.bases
    torch.testing.assert_close(loop.average.memory.bases, wanted)
    loop.consider(0.5)
    assert torch.equal(loop.best.memory.bases, loop.average.memory.bases)


def test_every_part_of_a_memory_moves_and_what_has_no_gradient_stays() -> None:
    spec = replace(SPEC, labels="class", storage="int4")
    begin = Memory(spec, **draw("start").parts, labels=torch.eye(2))
    gradient = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
    loop = OuterLoop(begin, 0.02, SGD)
    loop.move(Outcome(torch.tensor(1.0), {"labels": gradient}), 0.0)
    torch.testing.assert_close(loop.here.memory.labels, torch.eye(2) - 0.1 * gradient)  # straight through the rounding
    assert torch.equal(loop.here.memory.bases, begin.bases)
    assert loop.here.lr == pytest.approx(0.02)
    assert {"labels", "best.labels", "average.labels"} <= loop.tensors().keys()


def test_moves_too_small_for_a_code_sum_up() -> None:
    """The straight-through gradient moves float32 tensors, so that codes change in the end though no step does it."""
    loop = OuterLoop(Memory(replace(SPEC, storage="int4"), **draw("start").parts), 0.02, replace(SGD, momentum=0.0))
    first, scales = quantise(loop.here.memory.bases, 7, 0)
    away = scales.float().view(-1, 1, 1, 1) * (loop.here.memory.bases < loop.here.memory.rounded().bases).float().mul(
        2
    ).sub(1)
    changed = []
    for _ in range(50):
        loop.move(Outcome(torch.tensor(1.0), {"bases": 0.1 * away}), 0.0)  # by a hundredth of a code
        changed.append((quantise(loop.here.memory.bases, 7, 0)[0] != first).double().mean().item())
    assert changed[0] == 0
    assert changed[-1] > 0.5


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_numbers_that_are_not_finite_bring_back_the_best_memory_at_half_the_rate(bad: str) -> None:
    start = draw("start")
    loop = OuterLoop(start, 0.02, SGD)
    loop.move(outcome(0), 0.0)
    draws = {loop.draw}
    broken = outcome(1, loss=float("nan")) if bad == "loss" else outcome(1)
    if bad == "gradient":
        broken.gradients["addresses"][0, 0, 0] = torch.inf
    loop.move(broken, 0.0)
    assert torch.equal(loop.here.memory.bases, start.bases)
    assert loop.step == 1, "a step that failed does not count"
    assert loop.draw not in draws, "the draw that failed would be tried again"
    loop.move(outcome(2), 0.0)
    torch.testing.assert_close(loop.here.memory.bases, start.bases - 0.05 * outcome(2).gradients["bases"])


def test_a_run_that_keeps_diverging_is_given_up() -> None:
    loop = OuterLoop(draw("start"), 0.02, ADAM)
    for _ in range(4):
        loop.move(outcome(0, loss=float("inf")), 0.0)
    with pytest.raises(DivergedError, match=r"not finite at step 0, at 0.0625 of the rate too\. Lower the recipe's"):
        loop.move(outcome(0, loss=float("inf")), 0.0)


def test_a_part_without_gradient_stays_where_it_is() -> None:
    loop, found = OuterLoop(draw("start"), 0.02, ADAM), outcome(0)
    del found.gradients["log_lr"]
    loop.move(found, 0.0)
    assert loop.here.lr == pytest.approx(0.02)
    assert not torch.equal(loop.here.memory.bases, draw("start").bases)


def test_a_stage_begins_from_the_best_point_with_its_own_optimiser() -> None:
    loop = OuterLoop(draw("start"), 0.02, SGD)
    loop.move(outcome(0), 0.0)
    loop.consider(0.7)
    best = loop.best.memory.bases.clone()
    loop.move(outcome(1), 0.0)
    loop.consider(0.6)
    loop.elapsed = 3.0
    assert loop.stale == 1
    loop.enter(replace(SGD, lr=0.05))
    assert (loop.stage, loop.entered, loop.entered_at, loop.stale) == (1, 2, 3.0, 0)
    loop.move(outcome(2), 0.0)
    torch.testing.assert_close(loop.here.memory.bases, best - 0.05 * outcome(2).gradients["bases"])


@pytest.mark.parametrize("settings", [replace(ADAM, average=0.9), MUON, SGD], ids=["adam", "muon", "sgd"])
def test_a_restored_loop_goes_on_bit_for_bit(settings: Outer) -> None:
    loop = OuterLoop(draw("start"), 0.02, settings)
    for step in range(3):
        loop.move(outcome(step), 0.0)
    loop.consider(0.5)
    loop.move(outcome(3, loss=float("nan")), 0.0)
    loop.move(outcome(4), 0.0)
    restored = OuterLoop(draw("another start"), 0.02, settings)
    restored.restore({name: tensor.clone() for name, tensor in loop.tensors().items()}, loop.counters(), settings)
    for one in (loop, restored):
        one.move(outcome(5), 0.0)
    assert torch.equal(loop.here.memory.bases, restored.here.memory.bases)
    assert torch.equal(loop.here.memory.addresses, restored.here.memory.addresses)
    assert torch.equal(loop.best.memory.bases, restored.best.memory.bases)
    assert torch.equal(loop.average.memory.addresses, restored.average.memory.addresses)
    assert loop.here.lr == restored.here.lr != 0.02
    assert loop.counters() == restored.counters()
    assert loop.draw == restored.draw


SPARSE = replace(SPEC, bases=4, support=2)


def sparse(seed: int) -> Memory:
    generator = seeds.generator(seed, "sparse")
    support = torch.rand(3, 2, 4, generator=generator).argsort(-1)[..., :2].sort(-1).values
    parts = {name: torch.randn(shape, generator=generator) for name, shape in SPARSE.shapes.items()}
    return Memory(SPARSE, **parts, support=support)


@pytest.mark.parametrize("settings", [ADAM, MUON], ids=["adam", "muon"])
def test_a_checkpoint_has_the_support_of_the_memory_that_it_is_of(settings: Outer) -> None:
    """Another machine may round otherwise, and so have started from another support."""
    loop, other = OuterLoop(sparse(0), 0.02, settings), OuterLoop(sparse(1), 0.02, settings)
    assert not torch.equal(sparse(0).support, sparse(1).support)
    gradient = Outcome(torch.tensor(1.0), {name: part + 1 for name, part in sparse(0).parts.items()})
    loop.move(gradient, 0.0)
    moved = (loop.here.memory.addresses - sparse(0).addresses).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.1), rtol=1e-3, atol=0)  # by Adam, each by the rate
    other.restore({name: tensor.clone() for name, tensor in loop.tensors().items()}, loop.counters(), settings)
    for point in (other.here, other.best, other.average):
        assert torch.equal(point.memory.support, sparse(0).support)
    assert torch.equal(other.here.memory.addresses, loop.here.memory.addresses)
    for edit in (lambda support: support.flip(-1), lambda support: support + 4, lambda support: support[:1]):
        edited = {**loop.tensors(), "support": edit(loop.tensors()["support"])}
        with pytest.raises(MemoryFileError, match="its support is"):
            other.restore(edited, loop.counters(), settings)


CELLED = replace(SPEC, scale=1, cells=3)


def celled(seed: int) -> Memory:
    generator = seeds.generator(seed, "celled")
    parts = {name: torch.randn(shape, generator=generator) for name, shape in CELLED.shapes.items()}
    return Memory(CELLED, **parts, cells=torch.randint(3, (4, 4), generator=generator).to(torch.uint8))


def test_a_checkpoint_has_the_cells_of_the_memory_that_it_is_of() -> None:
    """Easy images are others where there is less time to find them, and so are the cells that tell how bases look."""
    loop, other = OuterLoop(celled(0), 0.02, ADAM), OuterLoop(celled(1), 0.02, ADAM)
    assert not torch.equal(celled(0).cells, celled(1).cells)
    kept = {name: tensor.clone() for name, tensor in loop.tensors().items()}
    other.restore(kept, loop.counters(), ADAM)
    for point in (other.here, other.best, other.average):
        assert torch.equal(point.memory.cells, celled(0).cells)
    older = OuterLoop(celled(0), 0.02, ADAM)
    older.restore({name: tensor for name, tensor in kept.items() if name != "cells"}, loop.counters(), ADAM)
    assert torch.equal(older.here.memory.cells, celled(0).cells)
    with pytest.raises(MemoryFileError, match="its cells are impossible"):
        other.restore({**kept, "cells": kept["cells"] + 3}, loop.counters(), ADAM)
