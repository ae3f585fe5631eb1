"""A network in torch's own layers alone, for programs without memcli: the same function of the same weights."""

import copy

from torch import nn

from memcli.networks.convolution import Convolution
from memcli.networks.instance_norm import InstanceNorm


def plain(network: nn.Module) -> nn.Module:
    """A copy of `network` whose convolutions and norms are torch's. Their names, and so the state dict, stay."""
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        for name, child in list(module.named_children()):
            replacement = _replacement(child)
            if replacement is not None:
                setattr(module, name, replacement)
    return copied


def _replacement(layer: nn.Module) -> nn.Module | None:
    """torch's layer for one of ours, holding its parameters; None for any other."""
    made: nn.Module
    match layer:
        case Convolution():
            made = nn.Conv2d(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                layer.dilation,  # type: ignore[arg-type]
                layer.groups,
                bias=layer.bias is not None,
                device="meta",
            )
        case InstanceNorm():
            channels = len(layer.weight)
            made = nn.GroupNorm(channels, channels, layer.eps, device="meta")
        case _:
            return None
    for name, parameter in layer.named_parameters(recurse=False):
        setattr(made, name, parameter)
    return made.train(layer.training)
