"""What a baseline is, and the random choice of real images that two of them share."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from memcli.data.images import LabelledImages
from memcli.data.sources import Source
from memcli.data.spec import DataSpec
from memcli.memory.spec import MemorySpec
from memcli.seeds import generator
from memcli.training.loop import Batch, real_batches
from memcli.training.recipe import TrainRecipe


@dataclass(frozen=True)
class Comparison:
    """What a baseline is made from: the memory's size, the real images, and how networks are trained on the memory."""

    spec: MemorySpec
    source: Source  # aligned to the memory
    recipe: TrainRecipe
    seed: int  # of this run
    full_epochs: int  # of the baseline that trains on all real images
    epochs: int | None = None  # of a baseline of fewer; None: as many steps as on the memory


@dataclass(frozen=True)
class Baseline:
    """`training(comparison)` gives the recipe, with its own number of steps, and the minibatches."""

    help: str  # one line
    training: Callable[[Comparison], tuple[TrainRecipe, Batch]]


def real_images_per_class(data: DataSpec, numbers: int) -> int:
    """Real images per class that so many numbers hold, one a pixel and channel, rounded up: 0.999 -> 1."""
    return -(-numbers // (len(data.classes) * data.floats_per_image))


def random_subset(images: LabelledImages, spec: DataSpec, per_class: int, seed: int) -> LabelledImages:
    """`per_class` images of every class drawn by `seed`; all of a class that has fewer."""
    order = torch.randperm(len(images), generator=generator(seed, "random subset"))
    labels = images.labels[order]
    chosen = [order[labels == label][:per_class] for label in range(len(spec.classes))]
    return images.subset(torch.cat(chosen))


def lasting(recipe: TrainRecipe, epochs: int, images: int) -> TrainRecipe:
    """`recipe` with the steps of so many epochs of so many images."""
    return replace(recipe, steps=epochs * math.ceil(images / recipe.batch))


def on_random_images(given: Comparison, numbers: int) -> tuple[TrainRecipe, Batch]:
    """Training on as many real images of each class as `numbers` hold, drawn anew in every run."""
    data = given.spec.data
    per_class = real_images_per_class(data, numbers)
    images = random_subset(given.source.split("train"), data, per_class, given.seed)
    recipe = given.recipe if given.epochs is None else lasting(given.recipe, given.epochs, len(images))
    return recipe, real_batches(images, data, recipe.batch, given.seed)
