"""The plain training loop, its minibatches, and accuracy."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from memcli.data.augment import Augmentation
from memcli.data.cutmix import cut_and_mixed
from memcli.data.images import LabelledImages
from memcli.data.noise import noise_like
from memcli.data.sampling import drawn_rows, shuffled_epochs
from memcli.data.spec import DataSpec
from memcli.engine import free_cache
from memcli.errors import DivergedError, out_of_memory
from memcli.memory.memory import Memory, Query
from memcli.networks import first_linear
from memcli.progress import Progress, Silent
from memcli.seeds import derive, generator, seeded
from memcli.training.gradient import MinibatchGradient
from memcli.training.keeping import Kept, Store, Training
from memcli.training.recipe import TrainRecipe

Batch = Callable[[int], tuple[Tensor, Tensor]]  # step -> images (n, C, H, W) and soft labels (n, classes)

_TESTED = 500  # images in one pass of a test, at most
_PIXELS = {"cpu": 1 << 15, "cuda": 1 << 21}  # and their pixels; a processor is as quick with a few images (docs/log/)
_LOOK_EVERY = 50  # steps: reading the loss stops the device, so it is not read at every step


def recalled_batches(memory: Memory, size: int, seed: int, mixture: float = 0.0) -> Batch:
    """Minibatches of `size` images recalled from `memory`, on its device, spread evenly over the classes.

    Where there are more classes, each minibatch samples some, and all come equally often (`shared_out`). Rows come in
    shuffled epochs; minibatch t is a function of (seed, t) alone. With a `mixture` above 0 the queries are generalised:
    each is one class mixed with another one, drawn at random, whose share is drawn from 0 to `mixture`.
    """
    classes = len(memory.spec.data.classes)

    @torch.no_grad()
    def batch(step: int) -> tuple[Tensor, Tensor]:
        rows, labels = drawn_rows(memory.spec.rows, classes, size, seed, step, "recalled batches")
        if not mixture:
            return memory.recall_classes(rows, labels), memory.class_targets(rows, labels)
        draw = generator(seed, "mixtures", step)
        share = mixture * torch.rand(len(rows), 1, generator=draw)
        own = Query.of_classes(rows, labels, classes).labels
        query = Query(rows, torch.lerp(own, own[torch.randperm(len(rows), generator=draw)], share))
        return memory.recall(query), memory.targets(query)

    return batch


def real_batches(images: LabelledImages, spec: DataSpec, size: int, seed: int) -> Batch:
    """Minibatches of real images in shuffled epochs, with one-hot labels; minibatch t is a function of (seed, t) alone.

    Where there are fewer than `size` images, each minibatch is all of them.
    """
    numbers = shuffled_epochs(len(images), size, seed, "real batches")

    def batch(step: int) -> tuple[Tensor, Tensor]:
        chosen = numbers(step)
        return images.normalised(spec, chosen), one_hot(images.labels[chosen], len(spec.classes)).float()

    return batch


def share_of_rate(step: int, recipe: TrainRecipe) -> float:
    """The share of the rate that step `step`, counted from 0, is taken at."""
    left = (recipe.steps - step) / recipe.steps
    falling = 1.0 if left >= recipe.decay else 0.5 * (1 - math.cos(math.pi * left / recipe.decay))
    drops = (3 * step >= 2 * recipe.steps) + (6 * step >= 5 * recipe.steps)
    return falling * recipe.drop**drops


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _require_finite(finite: bool, step: int, recipe: TrainRecipe) -> None:
    if not finite:
        raise DivergedError(
            f"training {recipe.network} at rate {recipe.lr} gave numbers that are not finite by step {step}",
            do="Train at a lower rate",
        )


def _seen(
    images: Tensor, labels: Tensor, recipe: TrainRecipe, first: nn.Linear | None, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """What step `step`, counted from 1, makes of its minibatch."""
    augmentation = Augmentation(recipe.augment)
    images = augmentation.apply(images, augmentation.draw(images.shape[1:], seed, step - 1, len(images)))
    if recipe.cutmix:
        images, labels = cut_and_mixed(images, labels, recipe.cutmix, seed, step - 1)
    if recipe.noise:
        images = images + recipe.noise * noise_like(images, first, generator(seed, "image noise", step))
    return images, labels


def train(
    network: nn.Module,
    recipe: TrainRecipe,
    batch: Batch,
    progress: Progress | None = None,
    *,
    seed: int = 0,
    title: str = "training",
    store: Store | None = None,
) -> None:
    """Train `network` in place, on its device, and leave it in evaluation mode.

    `recipe.steps` steps of SGD with momentum on the cross-entropy with soft labels; step t takes batch(t), augmented,
    cut and mixed (data.cutmix), and with the recipe's noise added to its images (data.noise). `seed` is for these and
    for layers that draw at random, such as dropout. Where memory does not suffice for a minibatch, its gradient is
    added up over parts of it. A training that `store` keeps (memcli.training.keeping) goes on from there, to the same
    weights. Raises DivergedError where the loss or a weight is not finite.
    """
    progress = progress or Silent()
    device = _device(network)
    optimiser = torch.optim.SGD(
        network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    gradient = MinibatchGradient(network, progress)
    first = first_linear(network)
    kept = Kept(store, Training(network, optimiser, device))
    network.train()
    try:
        with seeded(derive(seed, "dropout"), device):  # for layers that draw from global generators
            done = kept.taken_up(recipe.steps)
            progress.begin(title, recipe.steps, done=done)
            for step in range(done + 1, recipe.steps + 1):
                with kept.step(step):
                    images, labels = batch(step - 1)
                    images, labels = _seen(images.to(device), labels.to(device), recipe, first, seed, step)
                    for group in optimiser.param_groups:
                        group["lr"] = recipe.lr * share_of_rate(step - 1, recipe)
                    loss = gradient(images, labels)
                    optimiser.step()
                if step % _LOOK_EVERY == 0 or step == recipe.steps:
                    value = loss.item()
                    _require_finite(math.isfinite(value), step, recipe)
                    progress.update(step, loss=value)
            kept.over()
        _require_finite(all(bool(p.isfinite().all()) for p in network.parameters()), recipe.steps, recipe)
        progress.end()
    finally:
        network.eval()


def images_at_once(spec: DataSpec, device: torch.device) -> int:
    """Images in one pass of a test on `device`: 500, or of large ones as many as have a set number of pixels."""
    pixels = _PIXELS["cuda" if device.type == "cuda" else "cpu"]
    return min(_TESTED, max(1, pixels // (spec.height * spec.width)))


def predictions(network: nn.Module, images: LabelledImages, spec: DataSpec, batch: int | None = None) -> Tensor:
    """The most likely class of every image, (N,) int64 on the CPU: see `answers`."""
    return answers(network, images, spec, torch.arange(len(images)), lambda logits, _: logits.argmax(1), batch)


@torch.no_grad()
def answers(
    network: nn.Module,
    images: LabelledImages,
    spec: DataSpec,
    numbers: Tensor,
    told: Callable[[Tensor, Tensor], Tensor],
    batch: int | None = None,
) -> Tensor:
    """What `told(logits, numbers)` tells of the images of `numbers`, (n, ...) on the CPU, `batch` of them at a time.

    The network is in evaluation mode. `batch` None: as many as memory is likely to suffice for (see `images_at_once`).
    Fewer where it does not.
    """
    device = _device(network)
    batch = images_at_once(spec, device) if batch is None else batch
    training = network.training
    network.eval()
    try:
        while True:
            try:
                parts = [
                    told(network(images.normalised(spec, chosen).to(device)), chosen) for chosen in numbers.split(batch)
                ]
                return torch.cat(parts).cpu()
            except Exception as error:
                if out_of_memory(error) is None or batch == 1:
                    raise
            free_cache(device)
            batch //= 2  # of an image alone, a network in evaluation mode says the same
    finally:
        network.train(training)


def accuracy(network: nn.Module, images: LabelledImages, spec: DataSpec, batch: int | None = None) -> float:
    """The share of `images` that `network` gives its own label, in [0, 1]."""
    return (predictions(network, images, spec, batch) == images.labels).double().mean().item()
