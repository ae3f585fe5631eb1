"""What the rewritings of recorded operations share."""

import torch
from torch import Tensor
from torch.fx import Node

CONVOLUTION_BACKWARD = torch.ops.aten.convolution_backward.default
_LEAST_CHANNELS = 8  # that a convolution reads in a group, if it reads no images


def shown(node: Node) -> Tensor:
    """What an operation gave when it was recorded: its shape and type count, its numbers do not."""
    value: Tensor = node.meta["val"]
    return value


def reads_images(weight: Node) -> bool:
    """Whether a convolution by these weights, (out, channels of a group, ...), reads as few channels as images have."""
    return shown(weight).shape[1] < _LEAST_CHANNELS
