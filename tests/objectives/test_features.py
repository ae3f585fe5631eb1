"""The features objective: against a slow reference and finite differences in float64; its pool, which it keeps."""

from dataclasses import replace

import pytest
import torch
from objective_checks import goes_on_bit_for_bit, in_float64
from torch import Tensor
from torch.nn.functional import cross_entropy

from memcli.data.augment import Augmentation
from memcli.data.real import RealImages
from memcli.data.sources import open_source
from memcli.errors import MemoryFileError, UsageError
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.memory.start import from_data
from memcli.networks import build
from memcli.objectives.features import Features, FeaturesObjective
from memcli.seeds import derive, generator

CPU = torch.device("cpu")
SOURCE = open_source("fake:n=60,test=10,classes=3,shape=1x8x8")
SPEC = MemorySpec(SOURCE.spec, bases=4, scale=2, rows=3)
TRAIN = SOURCE.split("train")
SETTINGS = Features(
    "convnet:width=4,depth=2", networks=2, age=6, further=2, uses=2, batch=6, rate=0.1, real_per_class=5, weight=0.3
)


class DoubleReal(RealImages):
    """Real images in float64."""

    def sample(self, images: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
        pixels, labels = super().sample(images, seed, step)
        return pixels.double(), labels

    def of_classes(self, classes: Tensor, per_class: int, seed: int, step: int) -> Tensor:
        return super().of_classes(classes, per_class, seed, step).double()


REAL, DOUBLE_REAL = (kind(TRAIN, SOURCE.spec, CPU) for kind in (RealImages, DoubleReal))


def start(spec: MemorySpec = SPEC) -> Memory:
    return from_data(spec, TRAIN, seed=0)


def doubled(memory: Memory) -> Memory:
    return memory.with_parts({name: part.double() for name, part in memory.parts.items()})


def in_double(settings: Features, spec: MemorySpec) -> FeaturesObjective:
    objective = FeaturesObjective(settings, spec, CPU)
    in_float64(objective._members)
    return objective


@pytest.mark.parametrize("augment", ["", "flip,shift"])
def test_the_loss_and_its_gradient_are_those_written_out(augment: str) -> None:
    """A network trained by torch, then one class after the other by plain autograd."""
    settings, spec = replace(SETTINGS, augment=augment, classes=2), replace(SPEC, labels="row")
    memory = doubled(start(spec))
    objective = in_double(settings, spec)
    found = objective.step(memory, 0.1, DOUBLE_REAL, 0, 5)

    def seen(images: Tensor, purpose: str, step: int) -> Tensor:
        augmentation = Augmentation(augment)
        draws = augmentation.draw(SOURCE.spec.shape, derive(0, f"features {purpose}"), step, len(images))
        return augmentation.apply(images, draws)

    network = build(settings.network, SOURCE.spec, seed=0, purpose="features pool 1").double()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for number in (10, 11):
        images, labels = DOUBLE_REAL.sample(6, derive(0, "features training"), number)
        optimiser.zero_grad()
        cross_entropy(network(seen(images, "trained", number)), labels).backward()
        optimiser.step()
    real = DOUBLE_REAL.of_classes(torch.arange(3), 5, derive(0, "features measured"), 5)
    real = seen(real.flatten(0, 1), "of 0", 5).unflatten(0, (3, 5))
    wanted = [network.features(own).mean(0).detach() for own in real]
    centre = sum(wanted) / 3
    parts = {name: part.clone().requires_grad_() for name, part in memory.parts.items()}
    moved, rows = memory.with_parts(parts), torch.arange(3)
    classes = objective._classes(0, 5).tolist()
    recalled = seen(
        torch.cat([moved.recall_classes(rows, torch.full((3,), label)) for label in classes]), "recalled", 5
    )
    apart = sum((wanted[label] - centre).square().sum() for label in classes)
    loss = torch.zeros((), dtype=torch.float64)
    for label, own in zip(classes, recalled.split(3), strict=True):
        loss = loss + (network.features(own).mean(0) - wanted[label]).square().sum() / apart
        loss = loss + 0.3 * cross_entropy(network(own), parts["labels"][:, label]) / 2
    torch.testing.assert_close(found.loss, loss.detach())
    slow = torch.autograd.grad(loss, list(parts.values()))
    for name, gradient in zip(parts, slow, strict=True):
        torch.testing.assert_close(found.gradients[name], gradient)
        assert gradient.abs().max() > 1e-7


@pytest.mark.parametrize(("labels", "support"), [("row", 0), ("fixed", 2)])
def test_images_that_are_too_many_pass_in_pieces_with_the_same_outcome(
    labels: str, support: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows of 25 classes may be thousands: at 64x64, one image per class of a hundred, they took 9 GB and more."""
    settings, spec = replace(SETTINGS, augment="flip,shift", classes=2), replace(SPEC, labels=labels, support=support)
    memory, objective = doubled(start(spec)), in_double(settings, spec)
    wanted = objective.step(memory, 0.1, DOUBLE_REAL, 0, 5)  # of three rows of two classes
    monkeypatch.setattr("memcli.objectives.features._PIXELS", 4 * 64)
    objective = in_double(settings, spec)
    through, passed = objective._features, list[int]()

    def watched(weights: object, fixed: object, images: Tensor) -> Tensor:
        passed.append(len(images))
        return through(weights, fixed, images)  # type: ignore[arg-type]

    objective._features = watched  # type: ignore[assignment]
    for most in (4, 2, 1):
        objective.restore({})  # the pool is fresh
        passed.clear()
        found = objective.step(memory, 0.1, DOUBLE_REAL, 0, 5)
        torch.testing.assert_close(found.loss, wanted.loss)
        for name, gradient in wanted.gradients.items():
            torch.testing.assert_close(found.gradients[name], gradient)
        assert max(set(passed) - {15}) == most  # 15 real ones
        assert objective.lighten() == (most > 1)


@pytest.mark.parametrize("support", [0, 2])
def test_the_gradient_is_that_of_finite_differences(support: int) -> None:
    spec = replace(SPEC, labels="class", support=support)
    memory, objective = doubled(start(spec)), in_double(SETTINGS, spec)

    def outcome(parts: dict[str, Tensor]):  # type: ignore[no-untyped-def]
        objective.restore({})  # the pool is fresh
        return objective.step(memory.with_parts(parts), 0.1, DOUBLE_REAL, 0, 5)

    gradients = outcome(memory.parts).gradients
    assert gradients.keys() == {"bases", "addresses", "labels"}
    for name, part in memory.parts.items():
        along = torch.randn(part.shape, generator=generator(0, name), dtype=torch.float64)
        ahead, behind = (outcome({**memory.parts, name: part + sign * 1e-5 * along}).loss for sign in (1, -1))
        slope = (ahead - behind) / 2e-5
        torch.testing.assert_close((gradients[name] * along).sum(), slope, rtol=1e-4, atol=1e-10)
        assert slope.abs() > 1e-8


def test_the_distance_is_one_where_recalled_classes_cannot_be_told_apart_around_the_mean_of_all() -> None:
    objective = FeaturesObjective(replace(SETTINGS, weight=0.0), SPEC, CPU)
    member = objective._members.turn(0, 0)
    means = objective._measured(member, REAL, 0, 0)
    images = torch.zeros(3, *SOURCE.spec.shape)
    alike = objective._features(member.weights[:-2], (), images).mean(0)
    loss = objective._distance_loss((images, torch.eye(3)), member.weights, (means - means.mean(0) + alike, alike))
    torch.testing.assert_close(loss, torch.ones(()))


def test_descent_lowers_the_distance_for_networks_that_it_never_saw() -> None:
    memory, objective = start(), FeaturesObjective(SETTINGS, SPEC, CPU)

    def unseen(memory: Memory) -> float:
        fresh = FeaturesObjective(replace(SETTINGS, networks=8), SPEC, CPU)
        return sum(fresh.step(memory, 0.1, REAL, 9, s).loss.item() for s in range(8))

    before = unseen(memory)
    for step in range(20):
        gradients = objective.step(memory, 0.1, REAL, 0, step).gradients
        memory = memory.with_parts({name: part - 0.1 * gradients[name] for name, part in memory.parts.items()})
    assert unseen(memory) < 0.9 * before


def test_networks_are_trained_and_means_are_taken_once_for_several_uses() -> None:
    """Two networks take turns; each is trained for 2 steps before 2 uses, and replaced where it would be 6 old."""
    objective, told = FeaturesObjective(SETTINGS, SPEC, CPU), []
    memory = start()
    for step in range(16):
        objective.step(memory, 0.1, REAL, 0, step)
        kept = objective.tensors()
        told.append(tuple(int(kept[f"{place}.{what}"]) for place in (0, 1) for what in ("age", "left")))
    assert told[:4] == [(2, 1, 3, 0), (2, 1, 5, 1), (2, 0, 5, 1), (2, 0, 5, 0)]
    assert [one[0] for one in told] == [2, 2, 2, 2, 4, 4, 4, 4, 2, 2, 2, 2, 4, 4, 4, 4]
    assert [one[1] for one in told] == [1, 1, 0, 0] * 4


def test_more_classes_than_a_step_has_take_turns_and_all_their_rows_are_recalled() -> None:
    objective = FeaturesObjective(replace(SETTINGS, classes=2), SPEC, CPU)
    seen = torch.cat([objective._classes(0, step) for step in range(6)])
    assert [sorted(seen[first : first + 3].tolist()) for first in range(0, 12, 3)] == [[0, 1, 2]] * 4
    gradients = objective.step(start(), 0.1, REAL, 0, 0).gradients["addresses"]
    touched = gradients.abs().sum(-1) > 0  # (rows, classes)
    assert touched.all(0).tolist() == [label in objective._classes(0, 0) for label in range(3)]
    assert touched.sum() == 6


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_restored_pool_goes_on_bit_for_bit(taken: int) -> None:
    whole, resumed = (FeaturesObjective(SETTINGS, SPEC, CPU) for _ in range(2))
    goes_on_bit_for_bit(whole, resumed, start(), REAL, taken, 5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"1.age": torch.tensor(6)}, "the age of a network is impossible"),
        ({"1.left": torch.tensor(3)}, "the steps that means serve are impossible"),
        ({"0.real": torch.zeros(1)}, "0.real"),
    ],
)
def test_an_impossible_pool_is_refused(change: dict[str, Tensor], told: str) -> None:
    objective = FeaturesObjective(SETTINGS, SPEC, CPU)
    objective.step(start(), 0.1, REAL, 0, 0)
    with pytest.raises(MemoryFileError, match=told):
        objective.restore({**objective.tensors(), **change})


def test_a_network_that_broke_is_replaced() -> None:
    memory, objective = start(), FeaturesObjective(replace(SETTINGS, networks=1, rate=1e38, uses=9), SPEC, CPU)
    losses = []
    for step in range(2):
        losses.append(objective.step(memory, 0.1, REAL, 0, step).loss.isfinite().item())
        objective._settings = replace(SETTINGS, networks=1)
    assert losses == [False, True]


def test_averaging_down_first_is_what_the_network_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, network="convnet:width=4,depth=1,side=2")
    found = FeaturesObjective(settings, SPEC, CPU).step(start(), 0.1, REAL, 0, 5)
    monkeypatch.setattr("memcli.objectives.features.averaging", lambda *_: 1)  # the network does it, each time
    wanted = FeaturesObjective(settings, SPEC, CPU).step(start(), 0.1, REAL, 0, 5)
    torch.testing.assert_close(found.loss, wanted.loss)
    for name, gradient in wanted.gradients.items():
        torch.testing.assert_close(found.gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_network_whose_features_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no features .*Give the features stage a network"):
        FeaturesObjective(replace(SETTINGS, network="convnet:norm=batch,width=4"), SPEC, CPU)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"classes": 0}, r"classes is 0\. Give 1 or more"),
        ({"further": 6}, r"age is 6 and further 6\. Give a larger age"),
        ({"rate": 0.0}, r"rate is 0\.0\. Give a positive number"),
        ({"weight": -1.0}, r"weight is -1\.0\. Give 0 or more"),
        ({"momentum": 1.0}, r"momentum is 1\.0"),
        ({"augment": "spin"}, "'spin' is no augmentation"),
    ],
)
def test_impossible_settings_are_refused(change: dict, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        replace(SETTINGS, **change)
