"""Models of other packages as networks: colours, sizes, and one score for each class."""

import torch
from torch import Tensor, nn

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks.base import without_numbers
from memcli.text import printable

_LEAST_SIDE = 64  # pixels: AlexNet needs 63, the most of all models that do not fix their size


def enlarged_size(data: DataSpec) -> tuple[int, int]:
    """(height, width) that such a model sees: the images' own, or enlarged until the shorter side is 64."""
    factor = max(1.0, _LEAST_SIDE / min(data.height, data.width))
    return round(data.height * factor), round(data.width * factor)


class Enlarged(nn.Module):
    """A model of another package: one channel is repeated to three, and small images are enlarged bilinearly."""

    def __init__(self, body: nn.Module, data: DataSpec) -> None:
        super().__init__()
        self.body = body
        self.size = enlarged_size(data)
        self.same = self.size == (data.height, data.width)

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 1 or 3, H, W) -> logits (n, classes)."""
        images = images.expand(-1, 3, -1, -1)
        if not self.same:
            images = nn.functional.interpolate(images, self.size, mode="bilinear", align_corners=False)
        return self.body(images)


def require_colours(data: DataSpec, package: str) -> None:
    """Raise UsageError where images have neither one channel nor three."""
    if data.channels not in (1, 3):
        raise UsageError(
            f"{package}'s models take 1 or 3 channels, and these images have {data.channels}",
            do="Choose `network` convnet",
        )


def require_logits(network: nn.Module, data: DataSpec, name: str, do: str) -> None:
    """Raise UsageError where the network does not turn images into logits in training.

    It runs on the meta device: that computes shapes only, and changes no weights, statistics or generators.
    """
    images = torch.empty(2, *data.shape, device="meta")
    shown = "x".join(map(str, data.shape))
    try:
        logits = torch.func.functional_call(network, without_numbers(network), (images,))
    except Exception as error:  # a model of others may raise anything on a shape that it does not take
        raise UsageError(f"{name} refuses {shown} images: {printable(str(error))}", do=do) from error
    if not isinstance(logits, Tensor) or logits.shape != (2, len(data.classes)):
        raise UsageError(f"{name} gives {type(logits).__name__}, not one score per class", do=do)
