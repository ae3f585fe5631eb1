"""The classification models of torchvision, untrained. torchvision is imported only when one is asked for."""

import warnings
from types import ModuleType

from torch import nn

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks.base import Network
from memcli.networks.foreign import Enlarged, require_colours, require_logits
from memcli.text import printable

_TRY = "Choose another, such as torchvision:resnet18 or torchvision:mobilenet_v3_small"


def _models() -> ModuleType:
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise UsageError(
            f"torchvision cannot be used: {printable(str(error))}",
            do="Install the torchvision that matches this torch, or choose `network` convnet",
        ) from error
    return models


def make(data: DataSpec, *, name: str) -> nn.Module:
    """The model that torchvision calls `name`, with random weights: nothing is downloaded."""
    models = _models()
    if name not in models.list_models(module=models):
        raise UsageError(
            f"torchvision has no classification model {printable(name)!r}",
            do="Choose one of torchvision.models.list_models(module=torchvision.models), such as torchvision:resnet18",
        )
    require_colours(data, "torchvision")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about the initial weights of two models that are refused below
        network = Enlarged(models.get_model(name, weights=None, num_classes=len(data.classes)), data)
    require_logits(network, data, f"torchvision:{name}", _TRY)
    return network


NETWORK = Network("torchvision", "any classification model of torchvision, untrained", make, free="name")
