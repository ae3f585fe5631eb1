"""The training loop against one written out by hand; minibatches; accuracy against a count."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from memcli.data.augment import Augmentation
from memcli.data.cutmix import cut_and_mixed
from memcli.data.images import LabelledImages
from memcli.data.noise import noise_like
from memcli.data.sampling import drawn_rows
from memcli.data.spec import DataSpec
from memcli.errors import DivergedError
from memcli.memory.memory import Memory, Query
from memcli.memory.spec import MemorySpec
from memcli.networks import build, first_linear
from memcli.progress import Silent
from memcli.seeds import generator
from memcli.training.loop import (
    accuracy,
    images_at_once,
    predictions,
    real_batches,
    recalled_batches,
    share_of_rate,
    train,
)
from memcli.training.recipe import TrainRecipe

DATA = DataSpec("test", 1, 8, 8, ("a", "b", "c"), (0.4,), (0.2,))


def memory(rows: int = 4) -> Memory:
    spec = MemorySpec(DATA, bases=5, scale=2, rows=rows)
    draw = {name: torch.randn(shape, generator=generator(0, name)) for name, shape in spec.shapes.items()}
    return Memory(spec, **draw)


def real(count: int = 10) -> LabelledImages:
    pixels = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=generator(0, "pixels"))
    return LabelledImages(pixels, torch.arange(count) % 3)


def test_train_equals_sgd_with_momentum_written_out() -> None:
    recipe = TrainRecipe("mlp:width=4", steps=7, lr=0.05, momentum=0.8)
    soft = torch.rand(7, 6, 3, generator=generator(0, "soft")).softmax(-1)
    images = torch.randn(7, 6, 1, 8, 8, generator=generator(0, "images"))
    network, slow = (build(recipe.network, DATA, seed=0).double() for _ in range(2))
    velocity = [torch.zeros_like(weight) for weight in slow.parameters()]
    for step in range(7):
        logits = slow(images[step].double())
        loss = -(soft[step].double() * (logits - logits.exp().sum(1, keepdim=True).log())).sum(1).mean()
        gradients = torch.autograd.grad(loss, list(slow.parameters()))
        for weight, gradient, speed in zip(slow.parameters(), gradients, velocity, strict=True):
            speed.mul_(0.8).add_(gradient)
            weight.data.sub_(0.05 * speed)
    train(network, recipe, lambda step: (images[step].double(), soft[step].double()))
    for found, expected in zip(network.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert not network.training


@pytest.mark.parametrize("decay", [0.5, 1.0])
def test_the_rate_falls_to_nothing_by_a_cosine(decay: float) -> None:
    recipe = TrainRecipe(steps=100, decay=decay)
    shares = [share_of_rate(step, recipe) for step in range(100)]
    falls = round(100 * (1 - decay))
    assert shares[:falls] == [1.0] * falls
    assert shares == sorted(shares, reverse=True)
    assert shares[(falls + 100) // 2] == pytest.approx(0.5)
    assert 0 < shares[-1] < 0.01
    assert share_of_rate(99, TrainRecipe(steps=100)) == 1.0


def test_train_takes_each_step_at_its_share_of_the_rate_on_augmented_images() -> None:
    recipe = TrainRecipe("mlp:width=4", steps=4, lr=0.05, momentum=0.0, decay=1.0, augment="shift,cutout")
    images, labels = torch.randn(4, 6, 1, 8, 8, generator=generator(0, "images")), torch.eye(3).repeat(2, 1)
    network, slow = (build(recipe.network, DATA, seed=0) for _ in range(2))
    augmentation = Augmentation("shift,cutout")
    for step in range(4):
        changed = augmentation.apply(images[step], augmentation.draw((1, 8, 8), 7, step, 6))
        loss = nn.functional.cross_entropy(slow(changed), labels)
        gradients = torch.autograd.grad(loss, list(slow.parameters()))
        for weight, gradient in zip(slow.parameters(), gradients, strict=True):
            weight.data.sub_(0.05 * share_of_rate(step, recipe) * gradient)
    train(network, recipe, lambda step: (images[step], labels), seed=7)
    for found, expected in zip(network.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


def test_mixtures_are_generalised_queries() -> None:
    source = memory()
    images, labels = recalled_batches(source, 12, 0, mixture=0.5)(3)
    rows, classes = drawn_rows(4, 3, 12, 0, 3, "recalled batches")
    torch.testing.assert_close(images, source.recall(Query(rows, labels)))
    torch.testing.assert_close(labels.sum(1), torch.ones(12))
    own = labels[torch.arange(12), classes]
    assert (own >= 0.5).all()
    assert own.min() < 0.8
    assert torch.equal(images, recalled_batches(source, 12, 0, mixture=0.5)(3)[0])


@pytest.mark.parametrize("name", ["mlp:width=4", "convnet:width=4,depth=1"])
def test_a_rate_that_decays_and_noise_are_those_written_out(name: str) -> None:
    recipe = TrainRecipe(name, steps=4, lr=0.05, momentum=0.0, decay=0.5, noise=0.3)
    images, labels = torch.randn(6, 1, 8, 8, generator=generator(0, "images")), torch.eye(3).repeat(2, 1)
    network, slow = (build(recipe.network, DATA, seed=0) for _ in range(2))
    for step, share in enumerate((1.0, 1.0, 1.0, 0.5), start=1):
        noise = noise_like(images, first_linear(slow), generator(9, "image noise", step))
        loss = nn.functional.cross_entropy(slow(images + 0.3 * noise), labels)
        for weight, gradient in zip(slow.parameters(), torch.autograd.grad(loss, list(slow.parameters())), strict=True):
            weight.data.sub_(0.05 * share * gradient)
    train(network, recipe, lambda _: (images, labels), seed=9)
    for found, expected in zip(network.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(found, expected)
    assert [share_of_rate(step, TrainRecipe(steps=2, decay=1.0)) for step in (0, 1)] == pytest.approx([1.0, 0.5])


def test_drops_weight_decay_and_cutmix_are_those_written_out() -> None:
    recipe = TrainRecipe("mlp:width=4", 6, lr=0.05, momentum=0.0, drop=0.2, weight_decay=0.1, cutmix=0.7)
    images, labels = torch.randn(6, 1, 8, 8, generator=generator(0, "images")), torch.eye(3).repeat(2, 1)
    network, slow = (build(recipe.network, DATA, seed=0) for _ in range(2))
    for step, share in enumerate((1.0, 1.0, 1.0, 1.0, 0.2, 0.04)):
        assert share_of_rate(step, recipe) == pytest.approx(share)
        mixed, soft = cut_and_mixed(images, labels, 0.7, 9, step)
        loss = nn.functional.cross_entropy(slow(mixed), soft)
        for weight, gradient in zip(slow.parameters(), torch.autograd.grad(loss, list(slow.parameters())), strict=True):
            weight.data.sub_(0.05 * share * (gradient + 0.1 * weight.data))
    train(network, recipe, lambda _: (images, labels), seed=9)
    for found, expected in zip(network.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


def test_train_reports_its_loss_now_and_then_and_ends() -> None:
    heard: list[object] = []

    class Listener(Silent):
        def begin(self, title: str, total: float | None, unit: str = "steps", done: float = 0) -> None:
            heard.append((title, total, unit, done))

        def update(self, done: float, **figures: float) -> None:
            heard.append((done, *figures))

        def end(self) -> None:
            heard.append("end")

    recipe = TrainRecipe("mlp", steps=101, lr=0.001)
    train(build("mlp:depth=1", DATA, seed=0), recipe, recalled_batches(memory(), 3, 0), Listener(), title="a title")
    assert heard == [("a title", 101, "steps", 0), (50, "loss"), (100, "loss"), (101, "loss"), "end"]


@pytest.mark.parametrize(("steps", "noticed"), [(200, 50), (20, 20)])
def test_an_absurd_rate_diverges(steps: int, noticed: int) -> None:
    class Ends(Silent):
        told = 0

        def end(self) -> None:
            self.told += 1

    seen, ends = [], Ends()
    recalled = recalled_batches(memory(), 6, 0)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        seen.append(step)
        images, labels = recalled(step)
        return 1e20 * images, labels

    recipe = TrainRecipe("convnet:width=4,norm=none", steps=steps, lr=1e3)
    network = build(recipe.network, DATA, seed=0)
    with pytest.raises(DivergedError, match=rf"not finite by step {noticed}\. Train at a lower rate\."):
        train(network, recipe, batch, ends)
    assert len(seen) == noticed
    assert ends.told == 0, "a training that diverged is not told as done"
    assert not network.training


def test_a_last_step_that_breaks_the_weights_is_noticed() -> None:
    recipe = TrainRecipe("mlp", steps=1, lr=1e3)  # the loss of step 1 is finite, the weights after it are not
    with pytest.raises(DivergedError, match="mlp at rate 1000"):
        train(build("mlp", DATA, seed=0), recipe, lambda _: (torch.full((3, 1, 8, 8), 1e36), torch.eye(3)))


GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"))


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_dropout_draws_from_the_seed_and_leaves_the_device_alone(device: str) -> None:
    def trained(seed: int) -> Tensor:
        network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), build("mlp:depth=1", DATA, seed=0)).to(device)
        train(network, TrainRecipe(steps=3, lr=0.1), recalled_batches(memory(), 6, 0), seed=seed)
        return next(network.parameters())

    state = torch.cuda.get_rng_state() if device == "cuda" else torch.get_rng_state()
    assert torch.equal(trained(0), trained(0))
    assert not torch.equal(trained(0), trained(1))
    assert torch.equal(state, torch.cuda.get_rng_state() if device == "cuda" else torch.get_rng_state())


@pytest.mark.parametrize("size", [7, 3, 1, 30])
def test_recalled_batches_are_even_over_classes_and_pure(size: int) -> None:
    source = memory()
    batch = recalled_batches(source, size, 0)
    images = batch(5)[0]
    assert images.shape == (size, 1, 8, 8)
    assert torch.equal(sum(batch(step)[1] for step in range(3)).sum(0), torch.full((3,), float(size)))
    batch(0)
    assert torch.equal(images, batch(5)[0])
    assert torch.equal(images, recalled_batches(source, size, 0)(5)[0])


def test_a_step_has_images_of_every_class_or_samples_classes() -> None:
    every, sampled = TrainRecipe(batch=20), TrainRecipe(batch=20, sampled=True)
    assert [every.images(classes) for classes in (3, 10, 30)] == [18, 20, 30]
    assert [sampled.images(classes) for classes in (3, 10, 30)] == [20, 20, 20]
    assert "sampled" not in every.to_json()
    assert TrainRecipe.from_json(sampled.to_json()) == sampled


def test_learned_labels_are_the_labels_of_a_minibatch() -> None:
    plain = memory()
    learned = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4]])
    source = Memory(replace(plain.spec, labels="class"), plain.bases, plain.addresses, learned)
    images, labels = recalled_batches(source, 6, 0)(1)
    wanted_images, one_hot = recalled_batches(plain, 6, 0)(1)
    assert torch.equal(images, wanted_images)
    assert torch.equal(labels, learned[one_hot.argmax(1)])


def test_an_epoch_of_recalled_batches_is_the_whole_recall() -> None:
    source = memory(rows=4)
    everything = Query.everything(source.spec)
    whole = torch.cat([source.recall(everything).flatten(1), everything.labels], 1)
    batch = recalled_batches(source, 6, seed=1)
    epoch = torch.cat([torch.cat([images.flatten(1), labels], 1) for images, labels in (batch(2), batch(3))])
    nearest = torch.cdist(epoch, whole).argmin(1)
    assert sorted(nearest.tolist()) == list(range(12))
    assert torch.allclose(epoch, whole[nearest], atol=1e-5)


def test_an_epoch_of_real_batches_is_every_image_once() -> None:
    images = real(10)
    found = real_batches(images, DATA, 4, seed=0)
    seen = torch.cat([torch.cat([x.flatten(1), y], 1) for x, y in (found(step) for step in range(5))])  # two epochs
    one_hot = torch.eye(3)[images.labels]
    whole = torch.cat([images.normalised(DATA).flatten(1), one_hot], 1)
    matches = (seen.unsqueeze(1) == whole.unsqueeze(0)).all(-1)  # (20, 10)
    for epoch in matches.view(2, 10, 10):
        assert torch.equal(epoch.sum(0), torch.ones(10, dtype=torch.long))
    assert not torch.equal(seen[:10], seen[10:])


def test_real_batches_are_pure_and_never_larger_than_the_data() -> None:
    images = real(10)
    found = real_batches(images, DATA, 4, seed=0)
    again = real_batches(images, DATA, 4, seed=0)
    late = found(9)[0]
    assert torch.equal(late, again(9)[0])
    assert torch.equal(found(0)[0], again(0)[0])
    assert not torch.equal(late, real_batches(images, DATA, 4, seed=1)(9)[0])
    few = real_batches(images, DATA, 500, seed=0)(3)[0]
    assert len(few.flatten(1).unique(dim=0)) == len(few) == 10


def test_accuracy_is_the_share_that_a_slow_count_finds() -> None:
    images = real(23)
    network = build("convnet:width=4,norm=batch", DATA, seed=0)
    before = [buffer.clone() for buffer in network.buffers()]
    found = accuracy(network, images, DATA, batch=5)
    assert network.training
    assert all(torch.equal(old, new) for old, new in zip(before, network.buffers(), strict=True))
    network.eval()
    right = 0
    for index in range(23):
        logits = network(images.normalised(DATA, torch.tensor([index])))[0]
        right += int(max(range(3), key=lambda label: logits[label].item()) == images.labels[index])
    assert found == pytest.approx(right / 23)
    assert 0 < right < 23
    assert not network.training
    assert predictions(network, images, DATA).shape == (23,)


@pytest.mark.parametrize(
    ("side", "cpu", "cuda"), [(8, 500, 500), (32, 32, 500), (64, 8, 500), (128, 2, 128), (224, 1, 41), (4096, 1, 1)]
)
def test_a_test_takes_fewer_images_at_once_where_they_are_large(side: int, cpu: int, cuda: int) -> None:
    spec = DataSpec("large", 3, side, side, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
    assert images_at_once(spec, torch.device("cpu")) == cpu
    assert images_at_once(spec, torch.device("cuda")) == cuda
