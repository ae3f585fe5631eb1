"""`full`: all training images, by the same optimiser, rate and batch, for some epochs."""

import math
from dataclasses import replace

from memcli.jobs.baselines.base import Baseline, Comparison
from memcli.training.loop import Batch, real_batches
from memcli.training.recipe import TrainRecipe


def training(given: Comparison) -> tuple[TrainRecipe, Batch]:
    """`full_epochs` epochs of the whole train split."""
    images = given.source.split("train")
    steps = given.full_epochs * math.ceil(len(images) / given.recipe.batch)
    minibatches = real_batches(images, given.spec.data, given.recipe.batch, given.seed)
    return replace(given.recipe, steps=steps), minibatches


BASELINE = Baseline("all real images", training)
