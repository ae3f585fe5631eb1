"""Strided: the network of incremental CIFAR-100 in the continual learning literature.

Three 3x3 convolutions of stride 2 with 160 channels, and two hidden linear layers of 320 units, with ReLU between
them and no norm. Gupta et al., "La-MAML", NeurIPS 2020, section 5; 32x32 images end at 4x4, so 2,560 numbers.
"""

from torch import nn

from memcli.data.spec import DataSpec
from memcli.networks.base import Classifier, Network, Whole, require_side

_DEPTH, _LEAST = 3, 8  # strides of 2, and the side that they bring to one pixel


def make(data: DataSpec, *, channels: int, hidden: int) -> nn.Module:
    """Three strided convolutions and two hidden linear layers. Each convolution halves the sides, rounding up."""
    require_side(data, _LEAST, "strided")
    layers: list[nn.Module] = []
    before, height, width = data.shape
    for _ in range(_DEPTH):
        layers += [nn.Conv2d(before, channels, 3, stride=2, padding=1), nn.ReLU()]
        before, height, width = channels, -(-height // 2), -(-width // 2)
    layers += [
        nn.Flatten(),
        nn.Linear(channels * height * width, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
    ]
    return Classifier(nn.Sequential(*layers), hidden, len(data.classes))


NETWORK = Network(
    "strided",
    "three strided convolutions and two hidden linear layers: the network of incremental CIFAR-100",
    make,
    {"channels": Whole(160, 1024), "hidden": Whole(320, 4096)},
)
