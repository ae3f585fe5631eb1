"""A family of networks: its name, its settings, and how to make one for a data set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.text import parse_call, printable, whole_number

AUTO = "auto"


@dataclass(frozen=True)
class Whole:
    """A setting that is a whole number from 1 to `most`. The limit keeps a hostile file from asking for gigabytes.

    The default None is written "auto": `make` then chooses by the size of the images.
    """

    default: int | None
    most: int

    def read(self, value: str, what: str) -> int | None:
        if self.default is None and value == AUTO:
            return None
        return whole_number(value, what, most=self.most)


@dataclass(frozen=True)
class OneOf:
    """A setting that is one of several words."""

    default: str
    words: tuple[str, ...]

    def read(self, value: str, what: str) -> str:
        if value not in self.words:
            raise UsageError(f"{what} is {printable(value)!r}", do=f"Choose from {', '.join(self.words)}")
        return value


@dataclass(frozen=True)
class Network:
    """One family of networks. `make(data, **settings)` builds one with torch's own initialisers.

    Where `free` names a setting, all text after the colon is its value: `torchvision:resnet50`.
    """

    name: str
    summary: str
    make: Callable[..., nn.Module]
    settings: Mapping[str, Whole | OneOf] = field(default_factory=dict)
    free: str = ""
    by_size: Callable[..., Mapping[str, int]] | None = None  # as `make`: settings that large images choose where None
    averages: Callable[..., int] | None = None  # as `make`: the factor by which it averages images down before all else

    @property
    def usage(self) -> str:
        """How to write it: `convnet[:width=128,depth=3,norm=instance]`."""
        if self.free:
            return f"{self.name}:{self.free.upper()}"
        defaults = {key: AUTO if setting.default is None else setting.default for key, setting in self.settings.items()}
        pairs = ",".join(f"{key}={default}" for key, default in defaults.items())
        return f"{self.name}[:{pairs}]" if pairs else self.name

    def read(self, text: str) -> dict[str, Any]:
        """The settings of the description `text`, defaults filled in. UsageError where one is unknown or impossible."""
        if self.free:
            return {self.free: text.partition(":")[2]}
        given = parse_call(text)[1]
        unknown = [key for key in given if key not in self.settings]
        if unknown:
            raise UsageError(f"{self.name} has no setting {printable(unknown[0])!r}", do=f"Write {self.usage}")
        return {
            key: setting.read(given[key], f"{key} of {self.name}") if key in given else setting.default
            for key, setting in self.settings.items()
        }


class Classifier(nn.Module):
    """Features, then one linear layer: images (n, C, H, W) -> logits (n, classes).

    `features` may also be called alone, by objectives that work on the features of the last layer but one.
    """

    def __init__(self, features: nn.Module, width: int, classes: int) -> None:
        """`width`: the number of features of one image."""
        super().__init__()
        self.features = features  # (n, C, H, W) -> (n, width)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def without_numbers(network: nn.Module) -> dict[str, Tensor]:
    """Its weights and buffers by name, as shapes: on the meta device, for `torch.func.functional_call`."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: tensor.detach().to("meta") for name, tensor in tensors.items()}


def require_side(data: DataSpec, least: int, name: str) -> None:
    """Raise UsageError where an image of `data` is smaller than least x least pixels."""
    if min(data.height, data.width) < least:
        raise UsageError(
            f"{name} needs images of at least {least}x{least} pixels, and these are {data.height}x{data.width}",
            do="Choose `network` convnet:depth=1 or mlp",
        )
