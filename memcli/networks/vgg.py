"""VGG-11 (Simonyan & Zisserman, ICLR 2015, configuration A) with one linear layer in the place of three."""

from torch import nn

from memcli.data.spec import DataSpec
from memcli.networks.base import Classifier, Network, Whole, require_side
from memcli.networks.blocks import NORM, can_halve, norm_layer
from memcli.networks.convolution import Convolution

_STAGES = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # channels of the convolutions before each pool, as multiples of `width`


def make(data: DataSpec, *, width: int, norm: str) -> nn.Module:
    """Eight 3x3 convolutions in five stages, each followed by a 2x2 max-pool.

    A pool is left out where it would leave a side below 2 (a norm of 1x1 images is zero), except the last one: images
    of 8x8 see pools after stages 1, 2 and 5.
    """
    require_side(data, 8, "vgg11")
    layers: list[nn.Module] = []
    channels, down, across = data.shape
    for index, stage in enumerate(_STAGES, start=1):
        for multiple in stage:
            wider = multiple * width
            layers += [Convolution(channels, wider, 3, padding=1), norm_layer(norm, wider), nn.ReLU()]
            channels = wider
        if index == len(_STAGES) or can_halve(down, across):
            layers.append(nn.MaxPool2d(2))
            down, across = down // 2, across // 2
    return Classifier(nn.Sequential(*layers, nn.Flatten()), channels * down * across, len(data.classes))


NETWORK = Network(
    "vgg11",
    "eight convolutions in five stages with max-pools: VGG-11 for small images",
    make,
    {"width": Whole(64, 256), "norm": NORM},
)
