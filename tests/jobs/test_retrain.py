"""Retraining from a memory alone, and the file of weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from memcli.data.spec import DataSpec
from memcli.errors import ExistsError, LimitError, MemoryFileError
from memcli.files import container
from memcli.files.limits import Limits
from memcli.files.manifest import Manifest
from memcli.files.memoryfile import Artifact
from memcli.files.weights import checksum, save
from memcli.jobs.retrain import common_data, common_recipe, recall_all, retrain, train_on_memories
from memcli.memory.memory import Memory, Query
from memcli.memory.spec import MemorySpec
from memcli.networks import build
from memcli.seeds import generator
from memcli.training.loop import recalled_batches, train
from memcli.training.recipe import TrainRecipe

DATA = DataSpec("test", 1, 8, 8, ("a", "b"), (0.5,), (0.25,))
RECIPE = TrainRecipe("convnet:width=4,norm=batch", steps=12, batch=8, lr=0.05)


@pytest.fixture
def artifact() -> Artifact:
    spec = MemorySpec(DATA, bases=3, scale=2, rows=4)
    draw = {name: torch.randn(shape, generator=generator(0, name)) for name, shape in spec.shapes.items()}
    provenance = {"source": "test", "fingerprint": "0", "licence": None, "versions": {}}
    return Artifact(Memory(spec, **draw), Manifest(spec, {}, 0, RECIPE, provenance, {}))


def test_retrain_follows_the_files_recipe_unless_told_otherwise(artifact: Artifact) -> None:
    retrained = train_on_memories(artifact)
    assert (retrained.recipe, retrained.steps, retrained.seed, retrained.data) == (RECIPE, 12, 0, DATA)
    assert retrained.seconds > 0
    assert not retrained.network.training
    other = train_on_memories(
        artifact, recipe=replace(RECIPE, network="mlp:width=3", steps=2), device=torch.device("cpu")
    )
    assert (other.recipe.network, other.steps) == ("mlp:width=3", 2)


def test_retrain_is_a_function_of_its_seed(artifact: Artifact) -> None:
    weights = [list(train_on_memories(artifact, seed=seed).network.state_dict().values()) for seed in (0, 0, 1)]
    assert all(torch.equal(one, other) for one, other in zip(weights[0], weights[1], strict=True))
    assert not torch.equal(weights[0][0], weights[2][0])


def test_retrain_is_build_and_train_with_one_seed(artifact: Artifact) -> None:
    recipe = replace(RECIPE, batch=2)
    network = build(recipe.network, DATA, seed=3)
    train(network, recipe, recalled_batches(artifact.memory, 2, 3))
    found = train_on_memories(artifact, recipe=recipe, seed=3).network
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), found.parameters(), strict=True))


def test_a_file_of_weights_rebuilds_the_network(artifact: Artifact, tmp_path: Path) -> None:
    retrained, path = train_on_memories(artifact, seed=3), tmp_path / "net.safetensors"
    sha256 = save(path, retrained, memory_sha256="ab" * 32, force=False)
    manifest, tensors = container.read(path, kind="network")
    assert manifest["sha256"] == sha256
    assert (manifest["format"], manifest["seed"], manifest["memory_sha256"]) == (2, 3, "ab" * 32)
    assert TrainRecipe.from_json(manifest["retrain"]) == RECIPE
    network = build(manifest["network"], DataSpec.from_json(manifest["data"]), seed=0).eval()
    network.load_state_dict(tensors)
    counters = [tensor for name, tensor in tensors.items() if name.endswith("num_batches_tracked")]
    assert [(int(counter), counter.dtype) for counter in counters] == [(12, torch.int64)] * 2
    images = torch.randn(5, 1, 8, 8, generator=generator(0, "images"))
    assert torch.equal(network(images), retrained.network(images))


def test_an_existing_file_is_kept_unless_forced(artifact: Artifact, tmp_path: Path) -> None:
    retrained, path = train_on_memories(artifact), tmp_path / "net.safetensors"
    save(path, retrained, memory_sha256="", force=False)
    before = path.read_bytes()
    with pytest.raises(ExistsError):
        save(path, retrained, memory_sha256="", force=False)
    save(path, retrained, memory_sha256="", force=True)
    assert path.read_bytes() == before


def other(name: str, classes: tuple[str, ...], steps: int = 5, rows: int = 2) -> Artifact:
    """A memory of other classes, with a recipe of its own."""
    spec = MemorySpec(replace(DATA, name=name, classes=classes), bases=2, scale=1, rows=rows)
    draw = {part: torch.randn(shape, generator=generator(1, part)) for part, shape in spec.shapes.items()}
    provenance = {"source": name, "fingerprint": "0", "licence": None, "versions": {}}
    recipe = replace(RECIPE, network="mlp:width=6", steps=steps)
    return Artifact(Memory(spec, **draw), Manifest(spec, {}, 0, recipe, provenance, {}))


def test_several_memories_become_one_training_set(artifact: Artifact) -> None:
    named = {"one": artifact, "two": other("more", ("c", "b"))}
    data = common_data({name: each.memory.spec.data for name, each in named.items()})
    assert (data.name, data.classes, data.mean) == ("test + more", ("a", "b", "c"), DATA.mean)
    found = recall_all({name: each.memory for name, each in named.items()}, data)
    assert found.images.shape == (4 * 2 + 2 * 2, 1, 8, 8)
    assert found.labels.argmax(1).tolist() == [0] * 4 + [1] * 4 + [2] * 2 + [1] * 2
    second = named["two"].memory
    assert torch.allclose(found.images[8:10], second.recall(Query.of_label(second.spec, torch.tensor([1.0, 0.0]))))
    images, labels = found.batches(12, seed=0)(3)
    where = (images[:, None] == found.images).flatten(2).all(2).float().argmax(1)
    assert where.sort().values.tolist() == list(range(12))
    assert torch.equal(labels, found.labels[where])


def test_a_network_trained_on_several_knows_the_classes_of_all(artifact: Artifact) -> None:
    named = {"two": other("more", ("c", "b")), "one": artifact}
    assert common_recipe(named) == replace(RECIPE, network="mlp:width=6", steps=12)
    retrained = train_on_memories(named, seed=4)
    assert retrained.data.classes == ("c", "b", "a")
    assert retrained.network(torch.zeros(1, 1, 8, 8)).shape == (1, 3)
    recalled = recall_all({name: each.memory for name, each in named.items()}, retrained.data)
    slow = build("mlp:width=6", retrained.data, seed=4)
    train(slow, retrained.recipe, recalled.batches(8, 4), seed=4)
    assert all(torch.equal(a, b) for a, b in zip(slow.parameters(), retrained.network.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 4}, r"other\\x1b.pt has images of shape \(1, 4, 8\), and one.pt \(1, 8, 8\)"),
        ({"mean": (0.4,)}, r"other.* has a mean of \(0.4,\), and one.pt \(0.5,\)"),
        ({"std": (0.5,)}, "standard deviation.*Give memories of the same kind"),
        ({"zca": (1.0,) * 7}, "the images of other.* are not whitened as those of one.pt are.*without `zca`"),
    ],
)
def test_memories_that_do_not_fit_are_refused_by_name(change: dict, message: str) -> None:
    with pytest.raises(MemoryFileError, match=message):
        common_data({"one.pt": DATA, "other\x1b.pt": replace(DATA, **change)})


def test_a_union_that_is_too_large_is_refused(artifact: Artifact) -> None:
    limits = Limits(max_bytes=4 * 66 * 15)
    assert len(recall_all({"one": artifact.memory}, DATA, limits).images) == 8
    with pytest.raises(LimitError, match="its recall needs 4,224 bytes, and 3,960 are allowed"):
        recall_all({"one": artifact.memory, "two": artifact.memory}, DATA, limits)


def test_the_checksum_of_a_union_depends_on_every_file_and_their_order() -> None:
    assert checksum(["ab"]) == "ab"
    assert len({checksum(["ab", "cd"]), checksum(["cd", "ab"]), checksum(["ab", "ce"])}) == 3


@pytest.mark.parametrize(
    ("own", "asked", "trained"),
    [
        ("convnet:width=4,depth=2", "convnet:width=5", "convnet:width=5,depth=4"),
        ("convnet:width=4", "convnet:width=4", "convnet:width=4"),  # a file from before depths were written out
        ("convnet:width=4", None, "convnet:width=4"),
    ],
)
def test_a_network_that_is_asked_for_is_as_deep_as_large_images_need(
    own: str, asked: str | None, trained: str, artifact: Artifact
) -> None:
    spec = MemorySpec(replace(DATA, height=64, width=64), bases=1, scale=8, rows=1)
    recipe = TrainRecipe(own, steps=1, batch=2, lr=0.01)
    manifest = replace(artifact.manifest, spec=spec, retrain=recipe)
    memory = Memory(spec, **{name: torch.ones(shape) for name, shape in spec.shapes.items()})
    assert retrain(Artifact(memory, manifest), network=asked).trained.recipe.network == trained
