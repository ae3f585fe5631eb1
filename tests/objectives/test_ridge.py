"""The ridge objective: against a slow reference and finite differences in float64, its pool, and its memory of it."""

from dataclasses import replace

import pytest
import torch
from objective_checks import goes_on_bit_for_bit
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from memcli.data.augment import Augmentation
from memcli.data.real import RealImages
from memcli.data.sampling import drawn_rows
from memcli.data.sources import open_source
from memcli.errors import UsageError
from memcli.memory.memory import Memory, Query
from memcli.memory.spec import MemorySpec
from memcli.memory.start import from_data
from memcli.networks import build
from memcli.objectives import RidgeObjective
from memcli.objectives.ridge import Ridge, ridge_predictions
from memcli.seeds import generator

CPU = torch.device("cpu")
SOURCE = open_source("fake:n=60,test=10,classes=3,shape=1x8x8")
SPEC = MemorySpec(SOURCE.spec, bases=4, scale=2, rows=3)
TRAIN = SOURCE.split("train")
SETTINGS = Ridge("mlp:width=8,depth=2", networks=2, age=3, per_class=2, real_per_class=4, regulariser=0.01)
REAL = RealImages(TRAIN, SOURCE.spec, CPU)


def draw(name: str, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(0, name), dtype=torch.float64)


def test_predictions_are_those_of_ridge_regression_on_the_features() -> None:
    """The primal form with d features, solved one class at a time: (ΦᵀΦ + ρ I) w = Φᵀ y."""
    real, recalled, labels = draw("real", 7, 5), draw("recalled", 6, 5), draw("labels", 6, 3)
    rho = 0.01 * sum(float(row @ row) for row in recalled) / 6
    gram = recalled.T @ recalled + rho * torch.eye(5, dtype=torch.float64)
    slow = torch.stack([real @ torch.linalg.inv(gram) @ recalled.T @ labels[:, label] for label in range(3)], 1)
    torch.testing.assert_close(ridge_predictions(real, recalled, labels, 0.01), slow)


def test_the_gradient_of_predictions_is_that_of_finite_differences() -> None:
    real, recalled, labels = draw("real", 4, 5), draw("recalled", 6, 5).requires_grad_(), draw("labels", 6, 3)
    assert torch.autograd.gradcheck(lambda features: ridge_predictions(real, features, labels, 0.01), recalled)


def test_the_gradient_of_the_memory_is_that_of_finite_differences() -> None:
    """In float64, by doubling the memory, the real images and the pool's first network."""

    class Doubled(RidgeObjective):
        def _fresh(self, seed: int, step: int, place: int):
            member = super()._fresh(seed, step, place)
            member.network.double()
            member.velocity = [speed.double() for speed in member.velocity]
            return member

    class Real(RealImages):
        def sample(self, images: int, seed: int, step: int):
            images, labels = super().sample(images, seed, step)
            return images.double(), labels

    start = from_data(SPEC, TRAIN, seed=0)
    parts = {"bases": start.bases.double(), "addresses": start.addresses.double()}
    real = Real(TRAIN, SOURCE.spec, CPU)

    def loss(changed: dict) -> torch.Tensor:
        return Doubled(SETTINGS, SPEC, CPU).step(Memory(SPEC, **changed), 0.1, real, 0, 5).loss

    gradients = Doubled(SETTINGS, SPEC, CPU).step(Memory(SPEC, **parts), 0.1, real, 0, 5).gradients
    for name, part in parts.items():
        along = draw(name, *part.shape)
        ahead, behind = ({**parts, name: part + sign * 1e-6 * along} for sign in (1, -1))
        slope = (loss(ahead) - loss(behind)) / 2e-6
        torch.testing.assert_close((gradients[name] * along).sum(), slope, rtol=1e-5, atol=1e-9)
        assert slope.abs() > 1e-6


def test_descent_lowers_the_loss_of_networks_that_it_never_saw() -> None:
    memory = from_data(SPEC, TRAIN, seed=0)
    objective = RidgeObjective(SETTINGS, SPEC, CPU)

    def unseen(memory: Memory) -> float:
        return sum(RidgeObjective(SETTINGS, SPEC, CPU).step(memory, 0.1, REAL, 9, s).loss.item() for s in range(8))

    before = unseen(memory)
    for step in range(30):
        gradients = objective.step(memory, 0.1, REAL, 0, step).gradients
        assert gradients.keys() == {"bases", "addresses"}
        memory = Memory(SPEC, memory.bases - 0.1 * gradients["bases"], memory.addresses - 0.1 * gradients["addresses"])
    assert unseen(memory) < 0.9 * before


def test_networks_are_trained_and_renewed_at_their_age() -> None:
    """Two networks take turns; the first counts as new, the second as one step old, and three steps are a life."""
    memory, objective = from_data(SPEC, TRAIN, seed=0), RidgeObjective(SETTINGS, SPEC, CPU)
    ages, weights = [], []
    for step in range(8):
        objective.step(memory, 0.1, REAL, 0, step)
        told = objective.tensors()
        ages.append((int(told["0.age"]), int(told["1.age"])))
        weights.append(told["0.weight.head.weight"].clone())
    assert ages == [(1, 1), (1, 2), (2, 2), (2, 0), (0, 0), (0, 1), (1, 1), (1, 2)]
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(weights[0], weights[1]), "it was trained out of turn"


@pytest.mark.parametrize("taken", [0, 1, 4])
def test_a_restored_pool_goes_on_bit_for_bit(taken: int) -> None:
    memory, whole, resumed = from_data(SPEC, TRAIN, seed=0), *(RidgeObjective(SETTINGS, SPEC, CPU) for _ in range(2))
    goes_on_bit_for_bit(whole, resumed, memory, REAL, taken, 5)


def test_a_network_that_broke_is_replaced() -> None:
    memory, objective = from_data(SPEC, TRAIN, seed=0), RidgeObjective(replace(SETTINGS, networks=1), SPEC, CPU)
    objective.step(memory, 1e38, REAL, 0, 0)
    assert not objective.step(memory, 0.1, REAL, 0, 1).loss.isfinite()
    assert objective.step(memory, 0.1, REAL, 0, 2).loss.isfinite()


def test_recalled_and_real_images_are_augmented_by_one_draw() -> None:
    memory, settings = from_data(SPEC, TRAIN, seed=0), replace(SETTINGS, augment="shift,colour")
    found = RidgeObjective(settings, SPEC, CPU).step(memory, 0.1, REAL, 0, 0)
    augmentation = Augmentation("shift,colour")
    draws = augmentation.draw(SOURCE.spec.shape, 0, 0)
    rows, classes = drawn_rows(SPEC.rows, 3, 6, 0, 0, "ridge")
    query = Query.of_classes(rows, classes, 3)
    images, labels = REAL.batch(4, 0, 0)
    features = build(SETTINGS.network, SOURCE.spec, seed=0, purpose="pool 0").features
    real, recalled = (features(augmentation.apply(each, draws)) for each in (images, memory.recall(query)))
    left = ridge_predictions(real, recalled, query.labels - 1 / 3, 0.01) - (torch.eye(3)[labels] - 1 / 3)
    assert found.loss.item() == pytest.approx(left.square().sum(1).mean().item() / 2, rel=1e-4)


@pytest.mark.parametrize("network", ["torchvision:squeezenet1_1", "convnet:norm=batch,width=4"])
def test_a_network_that_cannot_be_used_is_refused(network: str) -> None:
    with pytest.raises(UsageError, match=r"has no features that a ridge .* can use\. Give the ridge stage a network"):
        RidgeObjective(replace(SETTINGS, network=network), SPEC, CPU)


def test_on_a_device_without_float64_the_system_is_solved_on_the_cpu() -> None:
    """Apple's GPU is played by tensors that have its device and shapes but no numbers."""

    class Watched(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            del types
            made = func(*args, **(kwargs or {}))
            for tensor in tree_leaves(made):
                if isinstance(tensor, torch.Tensor):
                    assert (tensor.device.type, tensor.dtype) != ("mps", torch.float64), f"{func} made float64"
            return made

    with FakeTensorMode(), Watched():
        real, recalled, labels = (torch.empty(size, device="mps") for size in ((6, 5), (4, 5), (4, 3)))
        found = ridge_predictions(real, recalled, labels, 1e-3)
        assert (found.device.type, found.dtype, found.shape) == ("mps", torch.float32, (6, 3))


def test_averaging_bases_down_first_is_averaging_recalled_images_down(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, memory = replace(SETTINGS, network="convnet:width=4,depth=1,side=2"), from_data(SPEC, TRAIN, seed=0)
    found = RidgeObjective(settings, SPEC, CPU).step(memory, 0.1, REAL, 0, 5)
    monkeypatch.setattr("memcli.objectives.ridge.averaging", lambda *_: 1)  # the network does it, each time
    wanted = RidgeObjective(settings, SPEC, CPU).step(memory, 0.1, REAL, 0, 5)
    torch.testing.assert_close(found.loss, wanted.loss)
    for name, gradient in wanted.gradients.items():
        torch.testing.assert_close(found.gradients[name], gradient, rtol=1e-4, atol=1e-6)
    assert found.gradients["bases"].norm() > 1e-4
