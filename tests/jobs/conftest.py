"""A file of the weights of a small network."""

from collections.abc import Callable
from pathlib import Path

import pytest

from memcli.data.spec import DataSpec
from memcli.files.weights import Retrained, save
from memcli.networks import build
from memcli.training.recipe import TrainRecipe

DATA = DataSpec("toy", 3, 8, 8, ("dark", "bright"), (0.5, 0.4, 0.3), (0.25, 0.2, 0.3))


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., Path]:
    """`weights(network, data)` writes untrained weights and returns their path."""

    def write(network: str = "convnet:width=4", data: DataSpec = DATA) -> Path:
        made = build(network, data, seed=0).eval()
        recipe = TrainRecipe(network, steps=1, batch=1, lr=0.1)
        save(tmp_path / "net.safetensors", Retrained(made, data, recipe, 0, 0.0), memory_sha256="0", force=True)
        return tmp_path / "net.safetensors"

    return write
