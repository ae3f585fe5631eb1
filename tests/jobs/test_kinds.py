"""The contracts of protocols and baselines, which every member keeps."""

import pytest
import torch

from memcli.data.sources import open_source
from memcli.jobs.baselines import BASELINES
from memcli.jobs.baselines.base import Comparison
from memcli.jobs.protocols import PROTOCOLS
from memcli.memory.spec import MemorySpec
from memcli.training.recipe import TrainRecipe

SOURCE = open_source("fake:classes=3,shape=1x8x8,n=60,test=15")
SPEC = MemorySpec(SOURCE.spec, bases=3, scale=2, rows=4)
OWN = TrainRecipe("mlp:width=8", steps=7, batch=6, lr=0.05)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_trains_the_network_that_is_asked_for(name: str) -> None:
    protocol = PROTOCOLS[name]
    assert protocol.help
    assert "\n" not in protocol.help
    recipe = protocol.recipe(SPEC, OWN, "convnet")
    assert isinstance(recipe, TrainRecipe)
    assert recipe.network == "convnet"
    assert recipe == protocol.recipe(SPEC, OWN, "convnet")


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_gives_real_images_and_is_pure_in_its_seed(name: str) -> None:
    baseline = BASELINES[name]
    assert baseline.help
    assert "\n" not in baseline.help
    recipe, batch = baseline.training(Comparison(SPEC, SOURCE, OWN, seed=1, full_epochs=2))
    assert (recipe.network, recipe.batch, recipe.lr) == (OWN.network, OWN.batch, OWN.lr)
    images, labels = batch(0)
    assert images.shape[1:] == SPEC.data.shape
    assert labels.shape == (len(images), 3)
    assert labels.sum(1).tolist() == [1.0] * len(images)
    assert len(images) <= OWN.batch
    _, again = baseline.training(Comparison(SPEC, SOURCE, OWN, seed=1, full_epochs=2))
    assert all(torch.equal(one, other) for one, other in zip((images, labels), again(0), strict=True))
    train = SOURCE.split("train").normalised(SPEC.data).flatten(1)
    distances = (images.flatten(1).unsqueeze(1) - train).abs().amax(2)  # (n, training images)
    assert distances.amin(1).tolist() == [0.0] * len(images)
