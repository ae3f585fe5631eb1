"""The matching objective: against a slow reference and finite differences in float64; its pool, which it keeps."""

from dataclasses import replace

import pytest
import torch
from objective_checks import goes_on_bit_for_bit, in_float64
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from memcli.data.augment import Augmentation
from memcli.data.real import RealImages
from memcli.data.sources import open_source
from memcli.errors import MemoryFileError, UsageError
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.memory.start import from_data
from memcli.networks import build
from memcli.objectives.matching import DISTANCES, Matching, MatchingObjective
from memcli.seeds import generator

CPU = torch.device("cpu")
SOURCE = open_source("fake:n=60,test=10,classes=3,shape=1x8x8")
SPEC = MemorySpec(SOURCE.spec, bases=4, scale=2, rows=3)
TRAIN = SOURCE.split("train")
SETTINGS = Matching("convnet:width=4,depth=2", networks=2, age=3, rate=0.1, per_class=2, real_per_class=4)
REAL = RealImages(TRAIN, SOURCE.spec, CPU)


class DoubleReal(RealImages):
    """Real images in float64."""

    def of_classes(self, classes: Tensor, per_class: int, seed: int, step: int) -> Tensor:
        return super().of_classes(classes, per_class, seed, step).double()


class Doubled(MatchingObjective):
    """With networks in float64."""

    def __init__(self, settings: Matching, spec: MemorySpec, device: torch.device) -> None:
        super().__init__(settings, spec, device)
        in_float64(self._members)


def start(spec: MemorySpec = SPEC) -> Memory:
    return from_data(spec, TRAIN, seed=0)


def doubled(memory: Memory) -> Memory:
    return memory.with_parts({name: part.double() for name, part in memory.parts.items()})


def drawn(spec: MemorySpec, settings: Matching, step: int) -> tuple[Tensor, Tensor]:
    """Which rows of which classes step `step` recalls."""
    classes = MatchingObjective(settings, spec, CPU)._classes(0, step)
    rows = torch.rand(len(classes), spec.rows, generator=generator(0, "matched rows", step)).argsort(1)
    return classes, rows[:, : settings.per_class]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("augment", ["", "shift,colour"])
def test_the_loss_and_its_gradient_are_those_written_out(distance: str, augment: str) -> None:
    """One class after the other, by plain autograd, on one draw of the augmentation."""
    settings, spec = replace(SETTINGS, distance=distance, augment=augment), replace(SPEC, labels="row")
    memory = doubled(start(spec))
    found = Doubled(settings, spec, CPU).step(memory, 0.1, DoubleReal(TRAIN, SOURCE.spec, CPU), 0, 5)
    network = build(settings.network, SOURCE.spec, seed=0, purpose="matched pool 1").double()
    convolutions = [weight for weight in network.parameters() if weight.dim() == 4]
    classes, rows = drawn(spec, settings, 5)
    real = REAL.of_classes(classes, 4, 0, 5).double()
    augmentation = Augmentation(augment)
    draws = augmentation.draw(SOURCE.spec.shape, 0, 5)
    parts = {name: part.clone().requires_grad_() for name, part in memory.parts.items()}
    moved, loss = memory.with_parts(parts), torch.zeros((), dtype=torch.float64)
    for number, label in enumerate(classes.tolist()):
        wanted = torch.autograd.grad(
            cross_entropy(network(augmentation.apply(real[number], draws)), torch.full((4,), label)), convolutions
        )
        own = moved.recall_classes(rows[number], torch.full((2,), label))
        labels = parts["labels"][rows[number], label]
        given = torch.autograd.grad(
            cross_entropy(network(augmentation.apply(own, draws)), labels), convolutions, create_graph=True
        )
        for one, other in zip(given, wanted, strict=True):
            if distance == "squared":
                loss = loss + sum((a - b) ** 2 for a, b in zip(one.flatten(), other.flatten(), strict=True)) / 3
            elif distance == "absolute":
                loss = loss + sum((a - b).abs() for a, b in zip(one.flatten(), other.flatten(), strict=True)) / 3
            else:
                for a, b in zip(one.flatten(1), other.flatten(1), strict=True):
                    loss = loss + (1 - a @ b / (a.norm() * b.norm())) / 3
    torch.testing.assert_close(found.loss, loss.detach())
    slow = torch.autograd.grad(loss, list(parts.values()))
    for name, gradient in zip(parts, slow, strict=True):
        torch.testing.assert_close(found.gradients[name], gradient)
        assert gradient.abs().max() > 1e-7


@pytest.mark.parametrize("support", [0, 2])
def test_the_gradient_is_that_of_finite_differences(support: int) -> None:
    spec = replace(SPEC, labels="class", support=support)
    memory, real = doubled(start(spec)), DoubleReal(TRAIN, SOURCE.spec, CPU)

    objective = Doubled(SETTINGS, spec, CPU)

    def outcome(parts: dict[str, Tensor]):  # type: ignore[no-untyped-def]
        objective.restore({})  # the pool is fresh
        return objective.step(memory.with_parts(parts), 0.1, real, 0, 5)

    gradients = outcome(memory.parts).gradients
    assert gradients.keys() == {"bases", "addresses", "labels"}
    for name, part in memory.parts.items():
        along = torch.randn(part.shape, generator=generator(0, name), dtype=torch.float64)
        ahead, behind = (outcome({**memory.parts, name: part + sign * 1e-5 * along}).loss for sign in (1, -1))
        slope = (ahead - behind) / 2e-5
        torch.testing.assert_close((gradients[name] * along).sum(), slope, rtol=1e-4, atol=1e-10)
        assert slope.abs() > 1e-8


def test_descent_lowers_the_distance_for_networks_that_it_never_saw() -> None:
    memory, objective = start(), MatchingObjective(SETTINGS, SPEC, CPU)

    def unseen(memory: Memory) -> float:
        fresh = MatchingObjective(replace(SETTINGS, networks=8), SPEC, CPU)
        return sum(fresh.step(memory, 0.1, REAL, 9, s).loss.item() for s in range(8))

    before = unseen(memory)
    for step in range(20):
        gradients = objective.step(memory, 0.1, REAL, 0, step).gradients
        memory = memory.with_parts({name: part - 0.5 * gradients[name] for name, part in memory.parts.items()})
    assert unseen(memory) < 0.9 * before


def test_networks_are_trained_on_the_mean_of_the_real_gradients_and_renewed_at_their_age() -> None:
    """Two networks take turns; the first counts as new, the second as one step old, and three steps are a life."""
    memory, objective = start(), MatchingObjective(SETTINGS, SPEC, CPU)
    ages = []
    for step in range(8):
        if step == 0:
            network = build(SETTINGS.network, SOURCE.spec, seed=0, purpose="matched pool 0")
            images = REAL.of_classes(objective._classes(0, 0), 4, 0, 0)
            labels = objective._classes(0, 0).repeat_interleave(4)
            cross_entropy(network(images.flatten(0, 1)), labels).backward()
            wanted = [weight.detach() - 0.1 * weight.grad for weight in network.parameters()]
        objective.step(memory, 0.1, REAL, 0, step)
        told = objective.tensors()
        ages.append((int(told["0.age"]), int(told["1.age"])))
        if step == 0:
            for number, weight in enumerate(wanted):
                torch.testing.assert_close(told[f"0.weight.{number}"], weight, rtol=1e-4, atol=1e-6)
    assert ages == [(1, 1), (1, 2), (2, 2), (2, 0), (0, 0), (0, 1), (1, 1), (1, 2)]


def test_more_classes_than_a_step_matches_take_turns_and_no_row_comes_twice() -> None:
    settings = replace(SETTINGS, classes=2)
    objective = MatchingObjective(settings, SPEC, CPU)
    seen = torch.cat([objective._classes(0, step) for step in range(6)])
    assert [sorted(seen[start : start + 3].tolist()) for start in range(0, 12, 3)] == [[0, 1, 2]] * 4
    gradients = objective.step(start(), 0.1, REAL, 0, 0).gradients["addresses"]
    touched = gradients.abs().sum(-1) > 0  # (rows, classes)
    classes, rows = drawn(SPEC, settings, 0)
    assert touched.sum() == 4
    assert touched[rows.flatten(), classes.repeat_interleave(2)].all()


@pytest.mark.parametrize("taken", [0, 1, 4])
def test_a_restored_pool_goes_on_bit_for_bit(taken: int) -> None:
    whole, resumed = (MatchingObjective(SETTINGS, SPEC, CPU) for _ in range(2))
    goes_on_bit_for_bit(whole, resumed, start(), REAL, taken, 5)


def test_an_impossible_pool_is_refused() -> None:
    objective = MatchingObjective(SETTINGS, SPEC, CPU)
    objective.step(start(), 0.1, REAL, 0, 0)
    with pytest.raises(MemoryFileError, match="the age of a network is impossible"):
        objective.restore({**objective.tensors(), "1.age": torch.tensor(3)})


def test_a_network_that_broke_is_replaced() -> None:
    memory, objective = start(), MatchingObjective(replace(SETTINGS, networks=1, rate=1e38), SPEC, CPU)
    losses = [objective.step(memory, 0.1, REAL, 0, step).loss.isfinite().item() for step in range(3)]
    assert losses == [True, False, True]


def test_averaging_bases_down_first_is_averaging_recalled_images_down(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, network="convnet:width=4,depth=1,side=2")
    found = MatchingObjective(settings, SPEC, CPU).step(start(), 0.1, REAL, 0, 5)
    monkeypatch.setattr("memcli.objectives.matching.averaging", lambda *_: 1)  # the network does it, each time
    wanted = MatchingObjective(settings, SPEC, CPU).step(start(), 0.1, REAL, 0, 5)
    torch.testing.assert_close(found.loss, wanted.loss)
    for name, gradient in wanted.gradients.items():
        torch.testing.assert_close(found.gradients[name], gradient, rtol=1e-4, atol=1e-6)
        assert gradient.norm() > 1e-5


@pytest.mark.parametrize("network", ["mlp:width=8", "convnet:norm=batch,width=4"])
def test_a_network_whose_gradients_cannot_be_matched_is_refused(network: str) -> None:
    with pytest.raises(UsageError, match=r"no convolutions whose gradients .*Give the matching stage a network"):
        MatchingObjective(replace(SETTINGS, network=network), SPEC, CPU)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"classes": 0}, r"classes is 0\. Give 1 or more"),
        ({"age": 0}, "age is 0"),
        ({"rate": 0.0}, r"rate is 0\.0\. Give a positive number"),
        ({"momentum": 1.0}, r"momentum is 1\.0"),
        ({"distance": "near"}, r"distance is 'near'\. Choose from squared, absolute, cosine"),
        ({"augment": "spin"}, "'spin' is no augmentation"),
    ],
)
def test_impossible_settings_are_refused(change: dict, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        replace(SETTINGS, **change)


def test_labels_of_a_memory_without_learned_ones_are_those_of_the_classes() -> None:
    memory = start()
    objective = MatchingObjective(SETTINGS, SPEC, CPU)
    classes = objective._classes(0, 0)
    _, targets = objective._recalled(memory, classes, 0, 0)
    assert torch.equal(targets, one_hot(classes, 3).float()[:, None].expand(3, 2, 3))
