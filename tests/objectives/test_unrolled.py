"""The unrolled objective: its gradient is that of training on recalled images, and its draws are pure."""

from dataclasses import replace

import pytest
import torch
from objective_checks import goes_on_bit_for_bit
from torch.nn.functional import cross_entropy

from memcli import seeds
from memcli.data.augment import Augmentation
from memcli.data.real import RealImages
from memcli.data.sampling import drawn_rows
from memcli.data.sources import open_source
from memcli.engine import (
    Checkpointed,
    Derivatives,
    Direct,
    Fastest,
    ForwardOverReverse,
    Loss,
    ReverseOverReverse,
    Windowed,
)
from memcli.errors import UsageError
from memcli.memory.memory import Memory, Query
from memcli.memory.spec import MemorySpec
from memcli.memory.start import from_data, from_noise
from memcli.networks import build
from memcli.objectives import UnrolledObjective
from memcli.objectives.batches import InnerBatch
from memcli.objectives.unrolled import Unrolled

CPU = torch.device("cpu")
SOURCE = open_source("fake:n=60,test=10,classes=3,shape=1x8x8")
SPEC = MemorySpec(SOURCE.spec, bases=4, scale=2, rows=3)
TRAIN = SOURCE.split("train")
SETTINGS = Unrolled("mlp:width=8,depth=2", steps=4, per_class=2, learn_lr=True, momentum=0.9, real_per_class=3)
REAL = RealImages(TRAIN, SOURCE.spec, CPU)


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, images=2, real_images=4)])
def test_the_stepwise_gradient_is_that_of_autograd_through_the_unroll(settings: Unrolled) -> None:
    memory = from_data(SPEC, TRAIN, seed=0)
    found = UnrolledObjective(settings, SPEC, CPU).step(memory, 0.1, REAL, 0, 5)
    wanted = UnrolledObjective(settings, SPEC, CPU, adjoint=Direct()).step(memory, 0.1, REAL, 0, 5)
    torch.testing.assert_close(found.gradients["bases"], wanted.gradients["bases"], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found.gradients["addresses"], wanted.gradients["addresses"], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found.gradients["log_lr"], wanted.gradients["log_lr"], rtol=1e-4, atol=1e-7)
    assert found.gradients["bases"].norm() > 1e-4
    assert found.gradients["log_lr"].abs() > 1e-4


@pytest.mark.parametrize("labels", ["class", "row"])
def test_learned_labels_are_what_is_trained_on_and_have_their_gradient(labels: str) -> None:
    spec = replace(SPEC, labels=labels)
    memory = from_data(spec, TRAIN, seed=0)
    fixed = UnrolledObjective(SETTINGS, SPEC, CPU).step(Memory(SPEC, memory.bases, memory.addresses), 0.1, REAL, 0, 5)
    objective = UnrolledObjective(SETTINGS, spec, CPU)
    found = objective.step(memory, 0.1, REAL, 0, 5)
    wanted = UnrolledObjective(SETTINGS, spec, CPU, adjoint=Direct()).step(memory, 0.1, REAL, 0, 5)
    assert found.gradients.keys() == {"bases", "addresses", "labels", "log_lr"}
    torch.testing.assert_close(found.loss, fixed.loss)  # labels start one-hot
    torch.testing.assert_close(found.gradients["labels"], wanted.gradients["labels"], rtol=1e-4, atol=1e-7)
    gradient = found.gradients["labels"]
    length = 1e-3 / gradient.norm() ** 2
    ahead, behind = (
        objective.step(replace(memory, labels=memory.labels + sign * length * gradient), 0.1, REAL, 0, 5).loss
        for sign in (1, -1)
    )
    assert (ahead - behind).item() == pytest.approx(2e-3, rel=0.02)


def test_a_rate_that_is_not_learned_has_no_gradient() -> None:
    memory, settings = from_data(SPEC, TRAIN, seed=0), replace(SETTINGS, learn_lr=False)
    found, learned = (UnrolledObjective(s, SPEC, CPU).step(memory, 0.1, REAL, 0, 5) for s in (settings, SETTINGS))
    assert "log_lr" not in found.gradients
    assert torch.equal(found.gradients["bases"], learned.gradients["bases"])


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, images=2, real_images=4)])
def test_the_loss_is_that_of_a_network_trained_by_torch_on_the_same_minibatches(settings: Unrolled) -> None:
    """Of every class as many images, or two of the three classes in turn."""
    memory = from_data(SPEC, TRAIN, seed=0)
    objective = UnrolledObjective(settings, SPEC, CPU)
    found = objective.step(memory, 0.1, REAL, seed=0, step=5)
    network = build(SETTINGS.network, SOURCE.spec, seed=0, purpose="inner", step=5)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for query in objective.queries(0, 5):
        assert len(query) == settings.recalled_images(3)
        optimiser.zero_grad()
        cross_entropy(network(memory.recall(query)), query.labels.argmax(1)).backward()
        optimiser.step()
    images, labels = REAL.sample(settings.outer_images(3), 0, 5)
    assert found.loss.item() == pytest.approx(cross_entropy(network(images), labels).item(), rel=1e-5)


def test_the_inner_training_may_be_adam_s() -> None:
    """Its first beta is the momentum, and its exact adjoint is what the gradient runs through."""
    memory, settings = from_data(SPEC, TRAIN, seed=0), replace(SETTINGS, optimiser="adam", momentum=0.8)
    objective = UnrolledObjective(settings, SPEC, CPU)
    found = objective.step(memory, 0.01, REAL, seed=0, step=5)
    network = build(SETTINGS.network, SOURCE.spec, seed=0, purpose="inner", step=5)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01, betas=(0.8, 0.999))
    for query in objective.queries(0, 5):
        optimiser.zero_grad()
        cross_entropy(network(memory.recall(query)), query.labels.argmax(1)).backward()
        optimiser.step()
    images, labels = REAL.batch(3, 0, 5)
    assert found.loss.item() == pytest.approx(cross_entropy(network(images), labels).item(), rel=1e-4)
    wanted = UnrolledObjective(settings, SPEC, CPU, adjoint=Direct()).step(memory, 0.01, REAL, 0, 5)
    for name, gradient in wanted.gradients.items():
        torch.testing.assert_close(found.gradients[name], gradient, rtol=1e-3, atol=1e-6)


def test_descent_through_adam_lowers_the_loss_of_trainings_that_it_never_saw() -> None:
    settings = replace(POOLED, optimiser="adam")
    memory, objective = from_noise(SPEC, 0), UnrolledObjective(settings, SPEC, CPU)

    def unseen(memory: Memory) -> float:
        plain = replace(settings, window=0, pool=0)
        found = (UnrolledObjective(plain, SPEC, CPU).step(memory, 0.02, REAL, 9, step) for step in range(8))
        return sum(outcome.loss.item() for outcome in found)

    before = unseen(memory)
    for step in range(30):
        gradients = objective.step(memory, 0.02, REAL, 0, step).gradients
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        memory = Memory(SPEC, memory.bases - 0.3 * gradients["bases"], memory.addresses - 0.3 * gradients["addresses"])
    assert unseen(memory) < 0.7 * before


def test_a_small_step_against_the_gradient_lowers_the_loss() -> None:
    memory, objective = from_data(SPEC, TRAIN, seed=0), UnrolledObjective(SETTINGS, SPEC, CPU)
    before = objective.step(memory, 0.1, REAL, 0, 0)
    length = 1e-2 / (before.gradients["bases"].norm() ** 2 + before.gradients["addresses"].norm() ** 2)
    moved = Memory(
        SPEC,
        memory.bases - length * before.gradients["bases"],
        memory.addresses - length * before.gradients["addresses"],
    )
    drop = before.loss - objective.step(moved, 0.1, REAL, 0, 0).loss
    assert drop.item() == pytest.approx(1e-2, rel=0.1)


def test_steps_are_pure_in_the_seed_and_differ_by_step() -> None:
    memory, objective = from_data(SPEC, TRAIN, seed=0), UnrolledObjective(SETTINGS, SPEC, CPU)
    one, same, other = (objective.step(memory, 0.1, REAL, 0, step) for step in (1, 1, 2))
    assert torch.equal(one.gradients["bases"], same.gradients["bases"])
    assert not torch.equal(one.gradients["bases"], other.gradients["bases"])


@pytest.mark.parametrize("way", [ForwardOverReverse, Fastest])
def test_every_way_to_differentiate_gives_the_same_gradient(way: type[Derivatives]) -> None:
    memory = from_data(SPEC, TRAIN, seed=0)
    found = UnrolledObjective(SETTINGS, SPEC, CPU, adjoint=Checkpointed(), derivatives=way).step(
        memory, 0.1, REAL, 0, 5
    )
    wanted = UnrolledObjective(SETTINGS, SPEC, CPU).step(memory, 0.1, REAL, 0, 5)
    torch.testing.assert_close(found.gradients["bases"], wanted.gradients["bases"], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found.gradients["addresses"], wanted.gradients["addresses"], rtol=1e-4, atol=1e-7)


def test_the_loss_is_one_function_for_all_steps() -> None:
    """So that what was learnt or compiled for it in one outer step serves the next."""
    made: list[Loss] = []

    def way(loss: Loss) -> Derivatives:
        made.append(loss)
        return ReverseOverReverse(loss)

    memory, objective = from_data(SPEC, TRAIN, seed=0), UnrolledObjective(SETTINGS, SPEC, CPU, derivatives=way)
    for step in range(3):
        objective.step(memory, 0.1, REAL, 0, step)
    assert len(made) == 1


def test_a_network_with_dropout_is_unrolled_with_the_same_draws_forwards_and_backwards() -> None:
    settings = Unrolled(
        "torchvision:squeezenet1_1", steps=2, per_class=1, learn_lr=True, momentum=0.9, real_per_class=1
    )
    memory = from_data(SPEC, TRAIN, seed=0)
    # Outer step 7: the draws of many others leave none of the last ReLUs alive, and so no gradient.
    found, again = (UnrolledObjective(settings, SPEC, CPU).step(memory, 0.1, REAL, 0, 7) for _ in range(2))
    wanted = UnrolledObjective(settings, SPEC, CPU, adjoint=Direct()).step(memory, 0.1, REAL, 0, 7)
    assert wanted.gradients["bases"].norm() > 1e-6
    assert (found.gradients["bases"] - wanted.gradients["bases"]).norm() < 1e-3 * wanted.gradients["bases"].norm()
    assert torch.equal(found.gradients["bases"], again.gradients["bases"])


@pytest.mark.parametrize("augment", ["shift,scale,rotate", "flip,colour,cutout"])
def test_recalled_and_real_images_are_augmented_by_one_draw(augment: str) -> None:
    memory, settings = from_data(SPEC, TRAIN, seed=0), replace(SETTINGS, augment=augment)
    objective, augmentation = UnrolledObjective(settings, SPEC, CPU), Augmentation(augment)
    found = objective.step(memory, 0.1, REAL, seed=0, step=5)
    draws = augmentation.draw(SOURCE.spec.shape, 0, 5)
    network = build(SETTINGS.network, SOURCE.spec, seed=0, purpose="inner", step=5)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for query in objective.queries(0, 5):
        optimiser.zero_grad()
        recalled = augmentation.apply(memory.recall(query), draws)
        cross_entropy(network(recalled), query.labels.argmax(1)).backward()
        optimiser.step()
    images, labels = REAL.batch(3, 0, 5)
    loss = cross_entropy(network(augmentation.apply(images, draws)), labels)
    assert found.loss.item() == pytest.approx(loss.item(), rel=1e-5)
    wanted = UnrolledObjective(settings, SPEC, CPU, adjoint=Direct()).step(memory, 0.1, REAL, 0, 5)
    for name, gradient in wanted.gradients.items():
        torch.testing.assert_close(found.gradients[name], gradient, rtol=1e-4, atol=1e-7)
    plain = UnrolledObjective(SETTINGS, SPEC, CPU).step(memory, 0.1, REAL, 0, 5)
    assert not torch.equal(plain.gradients["bases"], found.gradients["bases"])


def test_windows_fall_everywhere_and_have_the_engine_s_gradient() -> None:
    memory, settings = from_data(SPEC, TRAIN, seed=0), replace(SETTINGS, window=2)
    objective, whole = UnrolledObjective(settings, SPEC, CPU), replace(SETTINGS, window=0)
    placed = set()
    for step in range(12):
        found = objective.step(memory, 0.1, REAL, 0, step)
        for start in range(3):
            wanted = UnrolledObjective(whole, SPEC, CPU, adjoint=Windowed(start, 2)).step(memory, 0.1, REAL, 0, step)
            if torch.equal(found.gradients["bases"], wanted.gradients["bases"]):
                placed.add(start)
                break
        else:
            raise AssertionError("the gradient is of no window")
    assert placed == {0, 1, 2}


# Over T = 4 the first training begins with its first window, the second with its last.
POOLED = replace(SETTINGS, window=2, pool=2)


def test_a_pool_s_windows_follow_one_another_and_have_the_gradient_of_one_training() -> None:
    memory, objective = from_data(SPEC, TRAIN, seed=0), UnrolledObjective(POOLED, SPEC, CPU)
    begin = objective._trainings.next(0, 0)
    outcomes = [objective.step(memory, 0.1, REAL, 0, step) for step in range(3)]
    for step, ahead in ((0, 0), (2, 2)):  # of the first training, whose memory has not moved
        alone = UnrolledObjective(replace(POOLED, pool=0), SPEC, CPU, adjoint=Direct())
        placed = replace(begin, ahead=ahead)
        alone._trainings.next = lambda *_, found=placed: found
        wanted = alone.step(memory, 0.1, REAL, 0, step)
        torch.testing.assert_close(outcomes[step].loss, wanted.loss)
        for name, gradient in wanted.gradients.items():
            torch.testing.assert_close(outcomes[step].gradients[name], gradient, rtol=1e-4, atol=1e-7)
            assert gradient.norm() > 1e-5


@pytest.mark.parametrize("place", [0, 1])
def test_a_pool_s_trainings_go_on_with_the_memory_as_it_is_and_end_after_their_steps(place: int) -> None:
    """The second training's window is its last, so that all of it is trained in its first outer step."""
    memory, objective = from_data(SPEC, TRAIN, seed=0), UnrolledObjective(POOLED, SPEC, CPU)
    moved = memory.with_parts({**memory.parts, "addresses": 1.1 * memory.parts["addresses"]})
    seen = [memory, memory, moved]  # in outer steps
    last = (2, 1)[place]
    found = [objective.step(each, 0.1, REAL, 0, step) for step, each in enumerate(seen)][last]

    purpose = f"pool {place}"
    network = build(SETTINGS.network, SOURCE.spec, seed=0, purpose=purpose, step=0)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for t in range(4):
        rows, of_class = drawn_rows(3, 3, 6, seeds.derive(0, purpose, 0), t, "inner minibatch")
        optimiser.zero_grad()
        recalled = seen[last if t >= 2 else place].recall(Query.of_classes(rows, of_class, 3))
        cross_entropy(network(recalled), of_class).backward()
        optimiser.step()
    images, labels = REAL.batch(3, 0, last)
    assert found.loss.item() == pytest.approx(cross_entropy(network(images), labels).item(), rel=1e-5)
    begun = objective._trainings.next(0, 4 + place)
    assert (begun.taken, begun.ahead, begun.draw) == (0, 0, seeds.derive(0, purpose, 4 + place))


@pytest.mark.parametrize("taken", [0, 1, 4])
@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_restored_pool_goes_on_bit_for_bit(taken: int, optimiser: str) -> None:
    memory = from_data(SPEC, TRAIN, seed=0)
    settings = replace(POOLED, pool=3, optimiser=optimiser)
    whole, resumed = (UnrolledObjective(settings, SPEC, CPU) for _ in range(2))
    goes_on_bit_for_bit(whole, resumed, memory, REAL, taken, 7)


def test_a_training_of_the_pool_that_broke_is_replaced() -> None:
    memory, objective = from_data(SPEC, TRAIN, seed=0), UnrolledObjective(replace(POOLED, pool=1), SPEC, CPU)
    assert not objective.step(memory, 1e30, REAL, 0, 0).loss.isfinite()
    assert objective.step(memory, 0.1, REAL, 0, 1).loss.isfinite()


def test_a_network_with_running_statistics_is_refused() -> None:
    with pytest.raises(
        UsageError,
        match=r"keeps running statistics, which cannot be unrolled\. Distil with a network",
    ):
        UnrolledObjective(Unrolled("convnet:norm=batch,width=4", 4, 2, True, 0.9, 3), SPEC, CPU)


def test_real_minibatches_hold_each_class_equally_and_only_its_own_images() -> None:
    images, labels = REAL.batch(4, seed=0, step=3)
    assert images.shape == (12, 1, 8, 8)
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    everything = TRAIN.normalised(SOURCE.spec)
    for image, label in zip(images, labels, strict=True):
        where = (everything == image).flatten(1).all(1).nonzero().flatten()
        assert len(where)
        assert TRAIN.labels[where[0]] == label


def test_real_minibatches_reach_every_image() -> None:
    seen = {tuple(image.flatten().tolist()) for step in range(60) for image in REAL.batch(5, 0, step)[0]}
    assert len(seen) == 60


@pytest.mark.parametrize("network", ["mlp:width=8,depth=2", "convnet:width=4,depth=1"])
def test_several_networks_at_once_have_the_mean_of_their_losses_and_gradients(network: str) -> None:
    memory, settings = from_data(SPEC, TRAIN, seed=0), replace(SETTINGS, network=network, networks=3)
    found = UnrolledObjective(settings, SPEC, CPU).step(memory, 0.1, REAL, 0, 5)
    losses, gradients = [], []
    for rank in range(3):
        alone = UnrolledObjective(replace(settings, networks=1), SPEC, CPU)
        fresh = build(network, SOURCE.spec, seed=0, purpose=f"inner {rank}" if rank else "inner", step=5)
        weights, _ = alone._trained.split(fresh)
        training = replace(alone._trainings.next(0, 5), weights=(alone._packing.packed(weights),))
        alone._trainings.next = lambda *_, found=training: found
        outcome = alone.step(memory, 0.1, REAL, 0, 5)
        losses.append(outcome.loss)
        gradients.append(outcome.gradients)
    torch.testing.assert_close(found.loss, torch.stack(losses).mean())
    for name, gradient in found.gradients.items():
        wanted = torch.stack([one[name] for one in gradients]).mean(0)
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-7)


def test_several_networks_that_draw_at_random_are_refused() -> None:
    settings = replace(SETTINGS, network="torchvision:squeezenet1_1", networks=2)
    with pytest.raises(UsageError, match=r"draws at random, .*\. Give the recipe's stage networks = 1\."):
        UnrolledObjective(settings, SPEC, CPU)


def test_a_batch_is_what_it_was_made_of() -> None:
    rows, labels, seed, first, second, fixed = (torch.tensor(number) for number in range(6))
    for dropped in (seed, None):
        batch = InnerBatch(rows, labels, dropped, (first, second), (fixed,))
        assert InnerBatch.of(batch.flat(), drops=dropped is not None, draws=2) == batch


def test_averaging_bases_down_first_is_averaging_recalled_images_down(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, memory = replace(SETTINGS, network="convnet:width=4,depth=1,side=2"), from_data(SPEC, TRAIN, seed=0)
    found = UnrolledObjective(settings, SPEC, CPU).step(memory, 0.1, REAL, 0, 5)
    monkeypatch.setattr("memcli.objectives.unrolled.averaging", lambda *_: 1)  # the network does it, each time
    wanted = UnrolledObjective(settings, SPEC, CPU).step(memory, 0.1, REAL, 0, 5)
    torch.testing.assert_close(found.loss, wanted.loss)
    for name, gradient in wanted.gradients.items():
        torch.testing.assert_close(found.gradients[name], gradient, rtol=1e-4, atol=1e-6)
    assert found.gradients["bases"].norm() > 1e-4
