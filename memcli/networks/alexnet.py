"""AlexNet for small images: the variant that data set condensation compares across architectures.

Krizhevsky et al., NeurIPS 2012; narrowed and without strides, dropout or hidden linear layers as in Zhao et al.,
ICLR 2021.
"""

from torch import nn

from memcli.data.spec import DataSpec
from memcli.networks.base import Classifier, Network, Whole, require_side
from memcli.networks.blocks import multiple_above, widened
from memcli.networks.convolution import Convolution

_UNIT = 8  # three pools halve the sides three times


def make(data: DataSpec, *, width: int) -> nn.Module:
    """Five convolutions (5x5, 5x5, then 3x3) and three 2x2 max-pools, with `width` to 2 * `width` channels.

    The first convolution pads more where a side is no multiple of 8 (28 becomes 32).
    """
    require_side(data, _UNIT, "alexnet")
    padding = 2 + widened(data.height, _UNIT), 2 + widened(data.width, _UNIT)
    wider = 3 * width // 2
    features = nn.Sequential(
        *(Convolution(data.channels, width, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2)),
        *(Convolution(width, wider, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(Convolution(wider, 2 * width, 3, padding=1), nn.ReLU()),
        *(Convolution(2 * width, wider, 3, padding=1), nn.ReLU()),
        *(Convolution(wider, wider, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
    )
    pixels = (multiple_above(data.height, _UNIT) // _UNIT) * (multiple_above(data.width, _UNIT) // _UNIT)
    return Classifier(features, wider * pixels, len(data.classes))


NETWORK = Network(
    "alexnet",
    "five convolutions and max-pools, no norm: AlexNet for small images",
    make,
    {"width": Whole(128, 256)},
)
