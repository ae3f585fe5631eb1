"""Training a network from a memory file alone, and saving its weights."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from memcli import tensorfile
from memcli.artifact.files import Artifact
from memcli.networks import build
from memcli.progress import Progress
from memcli.spec import DataSpec, TrainRecipe
from memcli.training import recalled_batches, train

FORMAT, KIND = 1, "network"


@dataclass(frozen=True)
class Retrained:
    """A network trained on a memory, and how."""

    network: nn.Module  # in evaluation mode, on the device that it was trained on
    data: DataSpec
    recipe: TrainRecipe
    seed: int
    seconds: float

    @property
    def steps(self) -> int:
        return self.recipe.steps


def retrain(
    artifact: Artifact,
    *,
    recipe: TrainRecipe | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress | None = None,
    title: str = "retraining",
) -> Retrained:
    """Train a fresh network on what the memory recalls, by `recipe` (default: the file's own).

    `device` defaults to the CPU. Raises UsageError for a network that is unknown or does not take the images,
    DivergedError where training does not stay finite.
    """
    recipe, device = recipe or artifact.manifest.retrain, device or torch.device("cpu")
    memory = artifact.memory.to(device)
    began = time.monotonic()
    network = build(recipe.network, memory.spec.data, seed=seed).to(device)
    batch = recalled_batches(memory, recipe.batch, seed, recipe.mixture)
    train(network, recipe, batch, progress, seed=seed, title=title)
    return Retrained(network, memory.spec.data, recipe, seed, time.monotonic() - began)


def network_manifest(retrained: Retrained, memory_sha256: str) -> dict[str, Any]:
    """What a file of weights says of itself: enough to build the network and to prepare images for it."""
    return {
        "format": FORMAT,
        "kind": KIND,
        "network": retrained.recipe.network,
        "data": retrained.data.to_json(),
        "retrain": retrained.recipe.to_json(),
        "seed": retrained.seed,
        "memory_sha256": memory_sha256,
    }


def save(path: str | Path, retrained: Retrained, *, memory_sha256: str, force: bool) -> str:
    """Write the weights and buffers of the network to a safetensors file, and return the checksum of its tensors.

    `memory_sha256`: the checksum of the memory that it was trained on. Raises as `tensorfile.write` does.
    """
    return tensorfile.write(
        path, retrained.network.state_dict(), network_manifest(retrained, memory_sha256), force=force
    )
