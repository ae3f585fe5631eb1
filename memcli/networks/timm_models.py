"""The models of timm, untrained. timm is imported only when one is asked for."""

from types import ModuleType

from torch import nn

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks.base import Network
from memcli.networks.foreign import Enlarged, enlarged_size, require_colours, require_logits
from memcli.text import printable

_LARGEST = 512  # pixels a side, of a model that is made for one size
_TRY = "Choose another, such as timm:resnet18 or timm:vit_tiny_patch16_224"


def _timm() -> ModuleType:
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: its torchvision is built for another torch
        raise UsageError(f"timm cannot be used: {printable(str(error))}", do="pip install 'memcli[timm]'") from error
    return timm


def make(data: DataSpec, *, name: str) -> nn.Module:
    """The model that timm calls `name`, with random weights: nothing is downloaded.

    A transformer that is made for one size of images is made for the size of these.
    """
    timm = _timm()
    if "." in name or not timm.is_model(name):  # what follows a dot names trained weights
        raise UsageError(
            f"timm has no model {printable(name)!r}", do="Choose one of timm.list_models(), such as timm:resnet18"
        )
    require_colours(data, "timm")
    published = timm.models.get_pretrained_cfg(name)
    settings = {"img_size": enlarged_size(data)} if published is not None and published.fixed_input_size else {}
    if settings and max(settings["img_size"]) > _LARGEST:  # its tables grow with the square of the pixels
        raise UsageError(f"timm:{name} takes images of up to {_LARGEST}x{_LARGEST} pixels", do=_TRY)
    try:
        body = timm.create_model(name, pretrained=False, num_classes=len(data.classes), **settings)
    except Exception as error:  # whatever a foreign model may raise on a size that it cannot be made for
        reason = printable(str(error) or type(error).__name__)
        raise UsageError(
            f"timm:{name} cannot be made for {'x'.join(map(str, data.shape))} images: {reason}", do=_TRY
        ) from error
    for module in body.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # torch cannot differentiate the fused one twice, as unrolling needs
    network = Enlarged(body, data)
    require_logits(network, data, f"timm:{name}", _TRY)
    return network


NETWORK = Network("timm", "any model of timm, untrained", make, free="name")
