"""`bytes`: as many real images as the memory's bytes would hold at one byte a pixel and channel."""

from memcli.jobs.baselines.base import Baseline, Comparison, on_random_images
from memcli.training.loop import Batch
from memcli.training.recipe import TrainRecipe


def training(given: Comparison) -> tuple[TrainRecipe, Batch]:
    """One byte a pixel and channel."""
    return on_random_images(given, given.spec.bytes)


BASELINE = Baseline("as many as its bytes pay for, one a pixel", training)
