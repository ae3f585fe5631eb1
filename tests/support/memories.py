"""A small memory of random numbers, of any shape."""

import torch

from memcli.data.spec import DataSpec
from memcli.files.manifest import Manifest
from memcli.files.memoryfile import Artifact
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.seeds import generator
from memcli.training.recipe import TrainRecipe


def artifact(
    classes: tuple[str, ...] = ("cat", "dog", "ship"), channels: int = 3, rows: int = 4, side: int = 8
) -> Artifact:
    """Five bases at scale 2, whose recalled values lie on both sides of [0, 1]."""
    data = DataSpec("toy", channels, side, side, classes, (0.4,) * channels, (0.3,) * channels)
    spec = MemorySpec(data, bases=5, scale=2, rows=rows)
    tensors = {name: torch.randn(shape, generator=generator(0, name)) * 0.6 for name, shape in spec.shapes.items()}
    told = {"source": "toy", "fingerprint": "", "licence": None, "versions": {}}
    return Artifact(Memory(spec, **tensors), Manifest(spec, {}, 0, TrainRecipe(), told, {}))
