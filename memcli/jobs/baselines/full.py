"""`full`: all training images, trained on as the others are, for some epochs."""

from memcli.jobs.baselines.base import Baseline, Comparison, lasting
from memcli.training.loop import Batch, real_batches
from memcli.training.recipe import TrainRecipe


def training(given: Comparison) -> tuple[TrainRecipe, Batch]:
    """`full_epochs` epochs of the whole train split."""
    images = given.source.split("train")
    minibatches = real_batches(images, given.spec.data, given.recipe.batch, given.seed)
    return lasting(given.recipe, given.full_epochs, len(images)), minibatches


BASELINE = Baseline("all real images", training)
