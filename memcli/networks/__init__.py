"""Networks by name: `build("convnet:width=64", data, seed=0)`. One file per family, one line each below."""

from collections.abc import Mapping

import torch
from torch import nn

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks.base import AUTO, Classifier, Network
from memcli.registry import Registry
from memcli.seeds import isolated
from memcli.text import parse_call, printable

__all__ = [
    "NETWORKS",
    "Classifier",
    "Network",
    "averaging",
    "build",
    "first_linear",
    "make",
    "names",
    "sized",
    "stateless",
]

NETWORKS: Registry[Network] = Registry(
    "network",
    "memcli.networks",
    {
        "convnet": "memcli.networks.convnet:NETWORK",
        "mlp": "memcli.networks.mlp:NETWORK",
        "alexnet": "memcli.networks.alexnet:NETWORK",
        "vgg11": "memcli.networks.vgg:NETWORK",
        "resnet18": "memcli.networks.resnet:NETWORK",
        "strided": "memcli.networks.strided:NETWORK",
        "torchvision": "memcli.networks.torchvision_models:NETWORK",
        "timm": "memcli.networks.timm_models:NETWORK",
    },
    "memcli.networks.base:Network",
)
_RANDOM_LAYERS = ("Dropout", "StochasticDepth", "DropPath")  # by name: their packages are imported when asked for


def build(name: str, data: DataSpec, *, seed: int, purpose: str = "network", step: int = 0) -> nn.Module:
    """A fresh network on the CPU, in training mode: images (n, C, H, W) -> logits (n, classes).

    Convolutions have their weights channels last. So are their outputs then, and pools are several times as quick.

    The initial weights are a function of (name, data, seed, purpose, step) only, drawn by torch.nn's own initialisers.
    Raises UsageError for an unknown network or setting, and for images that the network cannot take.
    """
    with isolated(seed, purpose, step):
        return make(name, data).to(memory_format=torch.channels_last)


def make(name: str, data: DataSpec) -> nn.Module:
    """The same network, drawn by the global generator and in the usual layout. Raises as `build` does."""
    family = name.partition(":")[0]
    if family not in NETWORKS:
        known = ", ".join(network.usage for network in NETWORKS.working().values())
        raise UsageError(f"there is no network {printable(family)!r}", do=f"Choose from {known}")
    network = NETWORKS[family]
    return network.make(data, **network.read(name))


def sized(name: str, data: DataSpec, **settings: int) -> str:
    """The description `name` with all that it leaves open to the size of images written out, so that it stays so.

    `settings` are added first where the network has them and `name` does not say. For images below 64x64, and for
    networks that are the same at every size, that is `name` itself. Raises UsageError for a setting that is wrong.
    """
    family = name.partition(":")[0]
    network = NETWORKS.get(family)
    if network is None or network.by_size is None:
        return name
    given = {key: value for key, value in parse_call(name)[1].items() if value != AUTO}
    said = {key: str(value) for key, value in settings.items() if key in network.settings and key not in given}
    by_size = network.by_size(data, **network.read(_written(family, given | said)))
    added = said | {key: str(value) for key, value in by_size.items()}
    return _written(family, given | added) if added else name


def averaging(name: str, data: DataSpec) -> int:
    """The factor by which the network `name` averages images of `data` down before all else; 1 where it does not.

    On images that are averaged down already, `build` makes the same network without that layer.
    """
    network = NETWORKS.get(name.partition(":")[0])
    return 1 if network is None or network.averages is None else network.averages(data, **network.read(name))


def _written(family: str, settings: Mapping[str, str]) -> str:
    pairs = ",".join(f"{key}={value}" for key, value in settings.items())
    return f"{family}:{pairs}" if pairs else family


def names() -> list[tuple[str, str, str]]:
    """For the documentation: every network's name, how to write it with its settings, and what it is."""
    return [(network.name, network.usage, network.summary) for network in NETWORKS.working().values()]


def stateless(network: nn.Module) -> bool:
    """Whether a training step is a pure function of parameters and images: no buffers, nothing drawn at random."""
    drawn = any(
        kind in type(module).__name__ and getattr(module, "p", getattr(module, "drop_prob", 0)) > 0
        for module in network.modules()
        for kind in _RANDOM_LAYERS
    )
    return not drawn and next(network.buffers(), None) is None


def mixes_images(network: nn.Module) -> bool:
    """Whether what it learns from one image depends on the others of the minibatch: it normalises over all of them."""
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def first_linear(network: nn.Module) -> nn.Linear | None:
    """The layer that sees the pixels, where it is a linear one."""
    layers = (module for module in network.modules() if next(module.parameters(recurse=False), None) is not None)
    first = next(layers)
    return first if isinstance(first, nn.Linear) else None
