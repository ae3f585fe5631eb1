"""What all that changes recorded operations shares."""

import torch
from torch import Tensor
from torch.fx import Node

CONVOLUTION_BACKWARD = torch.ops.aten.convolution_backward.default
_LEAST_CHANNELS = 8  # a convolution that reads fewer in a group reads images


def shown(node: Node) -> Tensor:
    """The result of an operation when it was recorded: for its shape and type, not for its numbers."""
    value: Tensor = node.meta["val"]
    return value


def reads_images(weight: Node) -> bool:
    """Whether a convolution by these weights, (out, channels of a group, ...), reads as few channels as images have."""
    return shown(weight).shape[1] < _LEAST_CHANNELS
