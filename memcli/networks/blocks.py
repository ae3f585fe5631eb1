"""What several networks share: normalisation by name, padding to a multiple, and when to stop halving."""

from torch import nn

from memcli.networks.base import OneOf
from memcli.networks.instance_norm import InstanceNorm

NORM = OneOf("instance", ("instance", "batch", "layer", "none"))


def norm_layer(kind: str, channels: int) -> nn.Module:
    """A normalisation of (n, channels, h, w). `instance` is a group norm of `channels` groups, `layer` one of one.

    Instance norm of a 1x1 image is zero whatever the image, so callers keep images at 2x2 or more before a norm.
    """
    match kind:
        case "instance":
            return InstanceNorm(channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "batch":
            return nn.BatchNorm2d(channels)
    return nn.Identity()


def multiple_above(side: int, unit: int) -> int:
    """The smallest multiple of `unit` that is at least `side`: 28 -> 32 for units of 8."""
    return -(-side // unit) * unit


def widened(side: int, unit: int) -> int:
    """The extra padding, on either edge, that makes `side` at least a multiple of `unit`: 2 for 28 and 8."""
    return (multiple_above(side, unit) - side + 1) // 2


def can_halve(height: int, width: int) -> bool:
    """Whether both sides are still 2 or more once halved."""
    return min(height, width) >= 4
