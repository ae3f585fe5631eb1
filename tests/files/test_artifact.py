"""What a loaded memory gives in Python: images and labels by name, number, mixture or vector; a Dataset; one line."""

from pathlib import Path

import pytest
import torch

import memcli
from memcli.data.spec import DataSpec
from memcli.errors import DataError, MemoryFileError, UsageError
from memcli.files import container
from memcli.files.manifest import Manifest
from memcli.files.memoryfile import Artifact
from memcli.memory.memory import Memory, Query
from memcli.memory.spec import MemorySpec
from memcli.networks import build
from memcli.seeds import generator
from memcli.training.recipe import TrainRecipe

DATA = DataSpec("pets", 1, 8, 8, ("cat", "dog", "owl"), (0.5,), (0.25,))
TOLD = {"source": "pets", "fingerprint": "f", "licence": None, "versions": {}}


def artifact(labels: str = "fixed") -> Artifact:
    spec = MemorySpec(DATA, bases=3, scale=2, rows=4, labels=labels)
    parts = {name: torch.randn(shape, generator=generator(0, name)) for name, shape in spec.shapes.items()}
    recipe = TrainRecipe("mlp:width=8", steps=3, batch=6, lr=0.05)
    return Artifact(Memory(spec, **parts), Manifest(spec, {}, 0, recipe, TOLD, {}))


def test_a_class_is_recalled_by_its_name_its_number_and_its_vector() -> None:
    memory = artifact()
    images, labels = memory.recall("dog")
    assert (images.shape, labels.shape, images.dtype) == ((4, 1, 8, 8), (4, 3), torch.float32)
    assert labels.tolist() == [[0, 1, 0]] * 4
    for query in (1, torch.tensor([0.0, 1.0, 0.0]), [0, 1, 0]):
        again, same = memory.recall(query)
        assert torch.equal(again, images)
        assert torch.equal(same, labels)


def test_pixels_are_the_normalised_images_put_back() -> None:
    memory = artifact()
    pixels, _ = memory.recall("cat")
    normalised, _ = memory.recall("cat", normalised=True)
    torch.testing.assert_close(pixels, normalised * 0.25 + 0.5)
    torch.testing.assert_close(normalised, memory.memory.recall(Query.of_label(memory.spec, torch.eye(3)[0])))


def test_a_mixture_is_linear_and_everything_comes_class_after_class() -> None:
    memory = artifact()
    mixed, labels = memory.recall("cat:0.5,owl:0.25", normalised=True)
    cat, owl = (memory.recall(name, normalised=True)[0] for name in ("cat", "owl"))
    torch.testing.assert_close(mixed, 0.5 * cat + 0.25 * owl)
    assert labels[0].tolist() == [0.5, 0, 0.25]
    images, labels = memory.recall()
    assert torch.equal(images, torch.cat([memory.recall(name)[0] for name in memory.classes]))
    assert labels.argmax(1).tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_a_dataset_has_class_numbers_or_learned_vectors() -> None:
    dataset = artifact().dataset()
    assert len(dataset) == 12
    image, label = dataset[5]
    assert (image.shape, label.dtype, int(label)) == ((1, 8, 8), torch.int64, 1)
    learned = artifact("row")
    _, vector = learned.dataset(normalised=True)[5]
    assert torch.equal(vector, learned.memory.labels[1, 1])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("fox", "there is no class 'fox'. Ask for one of"),
        (3, "there is no class 3. Give 0 to 2."),
        (-1, "there is no class -1. Give 0 to 2."),
        (torch.ones(2), r"the label vector has shape (2,). Give one number for each of 3 classes."),
    ],
)
def test_what_is_not_there_is_refused(query: object, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        artifact().recall(query)  # type: ignore[arg-type]
    assert message in str(raised.value)


def test_a_memory_is_shown_in_one_line() -> None:
    assert repr(artifact()) == "<memory of pets: 3 classes, 4 images each, 336 bytes>"


def test_a_network_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    trained = memcli.retrain(artifact(), tmp_path / "net.safetensors", device="cpu")
    loaded = memcli.load_network(tmp_path / "net.safetensors")
    images, _ = artifact().recall(normalised=True)
    assert not loaded.training
    assert torch.equal(loaded(images), trained.network(images))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"network": "nothing"}, "its network cannot be built"),
        ({"network": "mlp:width=9"}, "does not hold the weights of mlp:width=9"),
        ({"data": {"name": "x"}}, "data lacks channels"),
    ],
)
def test_a_file_whose_network_cannot_be_built_is_refused(tmp_path: Path, change: dict[str, object], match: str) -> None:
    manifest = {"kind": "network", "network": "mlp:width=8", "data": DATA.to_json(), **change}
    container.write(tmp_path / "n", build("mlp:width=8", DATA, seed=0).state_dict(), manifest, force=False)
    with pytest.raises(MemoryFileError, match=rf"{match}.* Get the file again"):
        memcli.load_network(tmp_path / "n")


def test_requests_that_name_no_memory_or_too_many_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no memory was given\. Give a memory file"):
        memcli.retrain([])
    with pytest.raises(UsageError, match=r"2 memories were given\. Give one"):
        memcli.evaluate([artifact(), artifact()], "digits")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="there is no file or folder 'nowhere'"):
        memcli.open_source(Path("nowhere"))
