"""ConvNet: the network of the data set condensation literature.

Gidaris & Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting", CVPR 2018; in this form Zhao, Mopuri &
Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021: 320,010 parameters at width 128 and depth 3 for ten
classes of 3x32x32 images.
"""

from torch import nn

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks.base import Classifier, Network, Whole
from memcli.networks.blocks import NORM, multiple_above, norm_layer, widened
from memcli.networks.convolution import Convolution

_DEEPER = ((192, 6), (128, 5), (64, 4))  # the least side, and the depth from there on


def natural_depth(least_side: int) -> int:
    """3, as in the literature; fewer where a norm would see less than 4x4 pixels, as for 8x8 images.

    An instance norm of 2x2 pixels divides by next to nothing, and gradients through training explode (docs/log/).
    """
    return min(3, max(1, least_side.bit_length() - 2))


def depth_for_large(least_side: int) -> int | None:
    """4 from 64 pixels, 5 from 128 and 6 from 192, as in the literature of larger images; None below 64."""
    return next((depth for side, depth in _DEEPER if least_side >= side), None)


def by_size(data: DataSpec, *, width: int, depth: int | None, norm: str, side: int | None) -> dict[str, int]:
    """The depth for large images, where none is given. `convnet` alone has depth 3 there, as in the first files."""
    del width, norm
    deeper = depth_for_large(min(_seen(data, side)[1:]))
    return {"depth": deeper} if depth is None and deeper is not None else {}


def make(data: DataSpec, *, width: int, depth: int | None, norm: str, side: int | None) -> nn.Module:
    """`depth` times [3x3 convolution, norm, ReLU, 2x2 average pool], then a linear layer.

    The first convolution pads more where a side is no multiple of 2^depth (28 becomes 32, as in the literature).
    With `side`, images are averaged down before all that, by the largest whole factor that leaves `side` pixels.
    """
    factor, down, across = _seen(data, side)
    depth = natural_depth(min(down, across)) if depth is None else depth
    deepest = min(down, across).bit_length() - 1  # the largest d with 2^d <= side
    if depth > deepest:
        raise UsageError(
            f"a convnet of depth {depth} is too deep for {down}x{across} images",
            do=f"Choose `network` convnet:depth={deepest}" if deepest else "Choose `network` mlp",
        )
    unit = 2**depth
    layers: list[nn.Module] = [nn.AvgPool2d(factor, ceil_mode=True)] if factor > 1 else []
    for block in range(depth):
        extra = (widened(down, unit), widened(across, unit)) if block == 0 else (0, 0)
        layers += [
            Convolution(width if block else data.channels, width, 3, padding=(1 + extra[0], 1 + extra[1])),
            norm_layer(norm, width),
            nn.ReLU(),
            nn.AvgPool2d(2),
        ]
    pixels = (multiple_above(down, unit) // unit) * (multiple_above(across, unit) // unit)
    return Classifier(nn.Sequential(*layers, nn.Flatten()), width * pixels, len(data.classes))


def averages(data: DataSpec, *, width: int, depth: int | None, norm: str, side: int | None) -> int:
    """The factor of the first layer, an average pool; 1 where there is none."""
    del width, depth, norm
    return _seen(data, side)[0]


def _seen(data: DataSpec, side: int | None) -> tuple[int, int, int]:
    """The factor by which images are averaged down, and the height and width that convolutions then see."""
    factor = 1 if side is None else max(1, min(data.height, data.width) // side)
    return factor, -(-data.height // factor), -(-data.width // factor)


NETWORK = Network(
    "convnet",
    "convolutions, norm and average pools: the literature's ConvNet",
    make,
    {"width": Whole(128, 1024), "depth": Whole(None, 10), "norm": NORM, "side": Whole(None, 1024)},
    by_size=by_size,
    averages=averages,
)
