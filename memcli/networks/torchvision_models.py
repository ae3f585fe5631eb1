"""The classification models of torchvision, untrained. torchvision is imported only when one is asked for."""

import warnings
from types import ModuleType

import torch
from torch import Tensor, nn

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks.base import Network
from memcli.text import printable

_LEAST_SIDE = 64  # pixels: AlexNet's stem and pools, the greediest of those that do not fix their size, need 63
_TRY = "Choose another, such as torchvision:resnet18 or torchvision:mobilenet_v3_small"


class Enlarged(nn.Module):
    """A torchvision model behind a door: one channel is repeated to three, small images are enlarged bilinearly."""

    def __init__(self, body: nn.Module, data: DataSpec) -> None:
        super().__init__()
        self.body = body
        factor = max(1.0, _LEAST_SIDE / min(data.height, data.width))
        self.size = round(data.height * factor), round(data.width * factor)
        self.same = self.size == (data.height, data.width)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 1 or 3, H, W) -> logits (n, classes)."""
        images = images.expand(-1, 3, -1, -1)
        if not self.same:
            images = nn.functional.interpolate(images, self.size, mode="bilinear", align_corners=False)
        return self.body(images)


def _models() -> ModuleType:
    try:
        from torchvision import models
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise UsageError(
            f"torchvision cannot be used: {printable(str(error))}",
            do="Install the torchvision that matches this torch, or choose `network` convnet",
        ) from error
    return models


def _require_logits(network: nn.Module, data: DataSpec, name: str) -> None:
    """Raise UsageError where the network does not turn images into logits in training.

    Run on the meta device: shapes without arithmetic, and without touching weights, statistics or generators.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shadow = {key: tensor.detach().to("meta") for key, tensor in tensors.items()}
    images = torch.empty(2, *data.shape, device="meta")
    shown = "x".join(map(str, data.shape))
    try:
        found = torch.func.functional_call(network, shadow, (images,))
    except Exception as error:  # whatever a foreign model may raise on a shape that it does not take
        raise UsageError(f"torchvision:{name} refuses {shown} images: {printable(str(error))}", do=_TRY) from error
    if not isinstance(found, Tensor) or found.shape != (2, len(data.classes)):
        raise UsageError(f"torchvision:{name} gives {type(found).__name__}, not one score per class", do=_TRY)


def make(data: DataSpec, *, name: str) -> nn.Module:
    """The model that torchvision calls `name`, with random weights: nothing is downloaded."""
    models = _models()
    if name not in models.list_models(module=models):
        raise UsageError(
            f"torchvision has no classification model {printable(name)!r}",
            do="Choose one of torchvision.models.list_models(module=torchvision.models), such as torchvision:resnet18",
        )
    if data.channels not in (1, 3):
        raise UsageError(
            f"torchvision's models take 1 or 3 channels, and these images have {data.channels}",
            do="Choose `network` convnet",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # on initial weights of two models that are refused below
        network = Enlarged(models.get_model(name, weights=None, num_classes=len(data.classes)), data)
    _require_logits(network, data, name)
    return network


NETWORK = Network("torchvision", "any classification model of torchvision, untrained", make, free="name")
