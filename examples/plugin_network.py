"""A network of your own: the object that a plug-in package gives, trained on a memory here and now.

    python examples/plugin_network.py photos.safetensors photos

In a package of yours it is `--network tiny`, by these lines in pyproject.toml (docs/extending.md):
    [project.entry-points."memcli.networks"]
    tiny = "your_package.plugin_network:NETWORK"
"""

import sys

from torch import nn

import memcli
from memcli.data.sources import aligned
from memcli.networks import Classifier, Network
from memcli.networks.base import Whole
from memcli.training.loop import accuracy, recalled_batches, train


def make(data, *, width):
    features = nn.Sequential(nn.Flatten(), nn.Linear(data.floats_per_image, width), nn.ReLU())
    return Classifier(features, width, len(data.classes))


NETWORK = Network("tiny", "one hidden layer", make, {"width": Whole(64, 1024)})  # tiny:width=32, up to 1024


def main(memory: str, source: str) -> None:
    artifact = memcli.load(memory)
    data, recipe = artifact.spec.data, artifact.manifest.retrain
    network = NETWORK.make(data, **NETWORK.read("tiny:width=32"))
    train(network, recipe, recalled_batches(artifact.memory, recipe.batch, seed=0))
    test = aligned(memcli.open_source(source, shape=data.shape), data).split("test")
    print(f"{NETWORK.usage}: {100 * accuracy(network, test, data):.1f} % of {len(test)} test images")


if __name__ == "__main__":
    main(*sys.argv[1:])
