"""`random`: as many real images as the memory's floats would hold; rounding up favours the baseline."""

from memcli.jobs.baselines.base import Baseline, Comparison, on_random_images
from memcli.training.loop import Batch
from memcli.training.recipe import TrainRecipe


def training(given: Comparison) -> tuple[TrainRecipe, Batch]:
    """One float a pixel and channel."""
    return on_random_images(given, given.spec.floats)


BASELINE = Baseline("as many real images as the file's floats pay for", training)
