"""MLP: linear layers with ReLU between them, for images of any size."""

import math
from itertools import pairwise

from torch import nn

from memcli.data.spec import DataSpec
from memcli.networks.base import Classifier, Network, Whole


def make(data: DataSpec, *, width: int, depth: int) -> nn.Module:
    """`depth` linear layers in total: depth - 1 hidden layers of `width` units. Depth 1 is a linear classifier."""
    sizes = [math.prod(data.shape), *[width] * (depth - 1)]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return Classifier(nn.Sequential(*layers), sizes[-1], len(data.classes))


NETWORK = Network(
    "mlp",
    "linear layers with ReLU between them; depth counts the linear layers",
    make,
    {"width": Whole(128, 4096), "depth": Whole(3, 10)},
)
