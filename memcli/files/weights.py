"""Files of trained weights."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from memcli.data.spec import DataSpec
from memcli.errors import MemoryFileError, UsageError
from memcli.files import container
from memcli.files.checkpoints import unlike
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.manifest import data_spec
from memcli.networks import build
from memcli.networks.cost import sketched
from memcli.text import printable
from memcli.training.recipe import TrainRecipe

KIND = "network"
_AGAIN = "Get the file again, or make it anew"


@dataclass(frozen=True)
class Retrained:
    """A network that was trained on a memory, and how it was trained."""

    network: nn.Module  # in evaluation mode, on the device that it was trained on
    data: DataSpec
    recipe: TrainRecipe
    seed: int
    seconds: float

    @property
    def steps(self) -> int:
        return self.recipe.steps


def load_network(path: str | Path, *, expect_sha256: str | None = None) -> nn.Module:
    """The network whose weights `retrain` wrote to `path`: normalised images (n, C, H, W) -> logits (n, classes).

    On the CPU, in evaluation mode. `expect_sha256`: the checksum that the file must have. Raises as `read` does.
    """
    return read(path, expect_sha256=expect_sha256)[0]


def read(
    path: str | Path, limits: Limits = DEFAULT_LIMITS, *, expect_sha256: str | None = None
) -> tuple[nn.Module, DataSpec]:
    """That network, and what the images are that it takes.

    Raises MemoryFileError where the file is damaged, or its checksum is not `expect_sha256`, or it names a network that
    is not known here, cannot be built here or does not have those weights. Raises LimitError where it is over `limits`.
    """
    content = container.read(path, kind=KIND, file_bytes=limits.max_file, expected=expect_sha256)
    return built(*content, printable(str(path)))


def built(manifest: dict[str, Any], tensors: dict[str, Tensor], shown: str) -> tuple[nn.Module, DataSpec]:
    """The same of what was read from a file, which messages call `shown`."""
    name = manifest.get("network")
    if not isinstance(name, str):
        raise MemoryFileError(f"{shown} names no network", do=_AGAIN)
    data = data_spec(manifest.get("data"))
    try:
        wrong = unlike(tensors, sketched(name, data).state_dict())  # before there is memory for them
        network = None if wrong else build(name, data, seed=0)
    except UsageError as error:
        raise MemoryFileError(f"its network cannot be built: {error.what}", do=f"{error.do}. {_AGAIN}") from error
    if network is None:
        raise MemoryFileError(f"{shown} does not hold the weights of {printable(name)}: {wrong}", do=_AGAIN)
    network.load_state_dict(tensors)
    return network.eval(), data


def checksum(sums: Sequence[str]) -> str:
    """The checksum of several memories together, from theirs in their order; of a single memory, its own."""
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()


def network_manifest(retrained: Retrained, memory_sha256: str) -> dict[str, Any]:
    """The manifest of a file of weights: enough to build the network and to prepare images for it."""
    return {
        "kind": KIND,
        "network": retrained.recipe.network,
        "data": retrained.data.to_json(),
        "retrain": retrained.recipe.to_json(),
        "seed": retrained.seed,
        "memory_sha256": memory_sha256,
    }


def save(path: str | Path, retrained: Retrained, *, memory_sha256: str, force: bool) -> str:
    """Write the weights and buffers of the network to a safetensors file, and return its checksum.

    `memory_sha256`: the checksum of the memory that it was trained on. Raises as `container.write` does.
    """
    return container.write(
        path, retrained.network.state_dict(), network_manifest(retrained, memory_sha256), force=force
    )
