"""Retraining from a memory alone, and the file of weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from memcli import tensorfile
from memcli.artifact.files import Artifact
from memcli.artifact.manifest import Manifest
from memcli.errors import ExistsError
from memcli.memory import Memory
from memcli.networks import build
from memcli.retrain import retrain, save
from memcli.seeds import generator
from memcli.spec import DataSpec, MemorySpec, TrainRecipe
from memcli.training import recalled_batches, train

DATA = DataSpec("test", 1, 8, 8, ("a", "b"), (0.5,), (0.25,))
RECIPE = TrainRecipe("convnet:width=4,norm=batch", steps=12, batch=8, lr=0.05)


@pytest.fixture
def artifact() -> Artifact:
    spec = MemorySpec(DATA, bases=3, scale=2, rows=4)
    draw = {name: torch.randn(shape, generator=generator(0, name)) for name, shape in spec.shapes.items()}
    provenance = {"source": "test", "fingerprint": "0", "licence": None, "versions": {}}
    return Artifact(Memory(spec, **draw), Manifest(spec, {}, 0, RECIPE, provenance, {}))


def test_retrain_follows_the_files_recipe_unless_told_otherwise(artifact: Artifact) -> None:
    retrained = retrain(artifact)
    assert (retrained.recipe, retrained.steps, retrained.seed, retrained.data) == (RECIPE, 12, 0, DATA)
    assert retrained.seconds > 0
    assert not retrained.network.training
    other = retrain(artifact, recipe=replace(RECIPE, network="mlp:width=3", steps=2), device=torch.device("cpu"))
    assert (other.recipe.network, other.steps) == ("mlp:width=3", 2)


def test_retrain_is_a_function_of_its_seed(artifact: Artifact) -> None:
    weights = [list(retrain(artifact, seed=seed).network.state_dict().values()) for seed in (0, 0, 1)]
    assert all(torch.equal(one, other) for one, other in zip(weights[0], weights[1], strict=True))
    assert not torch.equal(weights[0][0], weights[2][0])


def test_retrain_is_build_and_train_with_one_seed(artifact: Artifact) -> None:
    recipe = replace(RECIPE, batch=2)
    network = build(recipe.network, DATA, seed=3)
    train(network, recipe, recalled_batches(artifact.memory, 2, 3))
    found = retrain(artifact, recipe=recipe, seed=3).network
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), found.parameters(), strict=True))


def test_a_file_of_weights_rebuilds_the_network(artifact: Artifact, tmp_path: Path) -> None:
    retrained, path = retrain(artifact, seed=3), tmp_path / "net.safetensors"
    sha256 = save(path, retrained, memory_sha256="ab" * 32, force=False)
    manifest, tensors = tensorfile.read(path, kind="network")
    assert manifest["sha256"] == sha256
    assert (manifest["format"], manifest["seed"], manifest["memory_sha256"]) == (1, 3, "ab" * 32)
    assert TrainRecipe.from_json(manifest["retrain"]) == RECIPE
    network = build(manifest["network"], DataSpec.from_json(manifest["data"]), seed=0).eval()
    network.load_state_dict(tensors)
    counters = [tensor for name, tensor in tensors.items() if name.endswith("num_batches_tracked")]
    assert [(int(counter), counter.dtype) for counter in counters] == [(12, torch.int64)] * 2
    images = torch.randn(5, 1, 8, 8, generator=generator(0, "images"))
    assert torch.equal(network(images), retrained.network(images))


def test_an_existing_file_is_kept_unless_forced(artifact: Artifact, tmp_path: Path) -> None:
    retrained, path = retrain(artifact), tmp_path / "net.safetensors"
    save(path, retrained, memory_sha256="", force=False)
    before = path.read_bytes()
    with pytest.raises(ExistsError):
        save(path, retrained, memory_sha256="", force=False)
    save(path, retrained, memory_sha256="", force=True)
    assert path.read_bytes() == before
