"""What files ask for is counted, and refused above the limits, before anything is computed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from memories import artifact
from tiny import write_memory

import memcli
from memcli.data.spec import DataSpec
from memcli.distillation.recipe import load_recipe
from memcli.errors import LimitError, MemoryFileError, UsageError
from memcli.exporters import EXPORTERS
from memcli.files import memoryfile, space
from memcli.files.limits import DEFAULT_LIMITS, TRUSTED, Limits
from memcli.jobs import budget
from memcli.jobs.retrain import retrain
from memcli.memory.spec import MemorySpec
from memcli.training.recipe import TrainRecipe

CPU = torch.device("cpu")
DATA = DataSpec("toy", 3, 32, 32, tuple("0123456789"), (0.5,) * 3, (0.25,) * 3)
SPEC = MemorySpec(DATA, bases=16, scale=2, rows=20)


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same cores, memory and free disk wherever the tests run."""
    monkeypatch.setattr("memcli.machine.cores", lambda: 2)
    monkeypatch.setattr("memcli.machine.available_memory", lambda: 16 << 30)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: (1 << 40, 0, 1 << 40))


def recalled(
    spec: MemorySpec, format: str, limits: Limits = DEFAULT_LIMITS, labels: torch.Tensor | None = None
) -> None:
    budget.require_recall(spec, EXPORTERS[format], "out", labels, spec.rows, 256, limits, CPU)


def trained(
    recipe: TrainRecipe, limits: Limits = DEFAULT_LIMITS, spec: MemorySpec = SPEC, of_file: bool = False
) -> None:
    budget.require_training([spec], spec.data, recipe, limits, CPU, of_file=of_file)


@pytest.mark.parametrize("format", ["png", "npz", "safetensors", "parquet", "webdataset", "pt"])
@pytest.mark.parametrize("names", [("cat", "dog", "ship"), tuple(letter * 300 for letter in ("ä", "\x01", "𝄞"))])
@pytest.mark.parametrize("mixed", [False, True])
def test_no_format_writes_more_than_it_was_counted_to(
    tmp_path: Path, format: str, names: tuple[str, ...], mixed: bool
) -> None:
    memory = artifact(names, rows=40, side=16)
    queries = [[0.5, 0.25, 0.25]] if mixed else []
    path = tmp_path / f"out{EXPORTERS[format].suffix}"
    made = memcli.recall(memory, path, format=format, queries=queries)
    files = [each for each in [path, *path.rglob("*")] if each.is_file()]
    written = sum(-(-each.stat().st_size // 512) * 512 for each in files)
    most = EXPORTERS[format].most_bytes(memory.spec.data, made.images, 3 if mixed else 1)
    assert written <= most + 20_000, "what is around the images is little"
    assert most <= 5 * written + (1 << 20)


def test_names_and_labels_are_counted() -> None:
    """1,000 names, one of them long, are each as long in npz; 280 long names stand in the label of every PNG."""
    many = replace(DATA, classes=(*map(str, range(99_999)), "n" * 1000), height=1, width=1)
    with pytest.raises(LimitError, match=r"what it writes needs 40\d,\d+,\d+ bytes, and 300,000,000 are allowed"):
        recalled(MemorySpec(many, 1, 1, 1), "npz", Limits(max_bytes=300_000_000), torch.eye(1, 100_000))
    long = replace(DATA, classes=tuple(f"{number:0900}" for number in range(280)))
    learned = MemorySpec(long, bases=4, scale=2, rows=400, labels="row")
    recalled(replace(learned, labels="fixed"), "png")
    with pytest.raises(
        LimitError, match=r"what it writes needs 29,\d+,\d+,\d+ bytes.* Raise `max_bytes`, or give `trust`"
    ):
        recalled(learned, "png")
    recalled(learned, "png", TRUSTED)


def test_memory_is_counted_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    large = MemorySpec(replace(DATA, height=4096, width=4096), bases=1, scale=2, rows=1)
    recalled(replace(large, data=replace(large.data, classes=("a",))), "npz")
    monkeypatch.setattr("memcli.machine.available_memory", lambda: 500 << 20)
    with pytest.raises(LimitError, match=r"about 768 MiB .* needed, and 500 MiB are free.*`chunk`, or `trust`"):
        recalled(replace(large, data=replace(large.data, classes=("a",))), "npz")
    with pytest.raises(LimitError, match="recalling one image needs"):
        recalled(replace(SPEC, bases=10**6), "npz", Limits(max_bytes=30_000_000), torch.full((1, 10), 0.1))


def test_time_is_counted() -> None:
    recipe = TrainRecipe("convnet", steps=1_000_000, batch=100)
    with pytest.raises(LimitError, match=r"training convnet for 1000000 .* takes about 1[67]\d\.\d hours"):
        trained(recipe)
    trained(recipe, TRUSTED)
    trained(recipe, Limits(max_seconds=200 * 3600))
    many = MemorySpec(replace(DATA, classes=tuple(map(str, range(40_000)))), bases=2000, scale=4, rows=1)
    with pytest.raises(LimitError, match="the recall takes about"):
        recalled(many, "npz", Limits(max_seconds=1.0, max_bytes=2**40), torch.full((100, 40_000), 0.1))


@pytest.mark.parametrize(
    "recipe",
    [
        TrainRecipe("torchvision:regnet_y_128gf", steps=10, batch=2000),
        TrainRecipe("convnet:width=1024", steps=1, batch=100_000),
        TrainRecipe("mlp:width=4096,depth=10", steps=1, batch=100_000),
    ],
)
def test_memory_of_training_is_counted(recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memcli.machine.available_memory", lambda: 4 << 30)
    with pytest.raises(LimitError, match=r"MiB of memory are needed, and 4,096 MiB are free\. Give a smaller `batch`"):
        trained(recipe)


def test_many_classes_are_counted_although_the_batch_is_small() -> None:
    many = MemorySpec(replace(DATA, classes=tuple(map(str, range(40_000)))), bases=50, scale=4, rows=1)
    with pytest.raises(LimitError, match="MiB of memory are needed"):
        trained(TrainRecipe("mlp:width=8", steps=1, batch=1), spec=many)


@pytest.mark.parametrize(
    ("side", "classes", "ipc", "recipe"),
    [
        (32, 100, 50, TrainRecipe("convnet", steps=4 * 600, batch=640, lr=0.01)),
        (224, 10, 10, TrainRecipe("convnet:depth=6", steps=4 * 200, batch=50)),
        (64, 200, 10, TrainRecipe("convnet:depth=4", steps=4 * 200, batch=200)),
    ],
)
def test_what_ordinary_use_makes_meets_no_limit(side: int, classes: int, ipc: int, recipe: TrainRecipe) -> None:
    """The largest of the paper, and photographs: by the recipes' networks, trained four times as long."""
    data = replace(DATA, height=side, width=side, classes=tuple(f"class {number}" for number in range(classes)))
    rows = load_recipe("paper").most_rows(classes)
    spec = MemorySpec.from_budget(data, floats=ipc * classes * data.floats_per_image, most_rows=rows)
    DEFAULT_LIMITS.require_images(spec)
    for format in ("png", "npz", "safetensors", "parquet", "webdataset", "pt"):
        recalled(spec, format)
    trained(recipe, spec=spec)


def test_an_unknown_network_is_the_fault_of_who_named_it(tmp_path: Path) -> None:
    memory = memoryfile.read(write_memory(tmp_path / "m.safetensors"))
    memory = replace(memory, manifest=replace(memory.manifest, retrain=TrainRecipe("lenet")))
    memoryfile.write(tmp_path / "m.safetensors", memory, force=True)
    with pytest.raises(MemoryFileError, match=r"cannot be trained: there is no network 'lenet'\. Choose another"):
        retrain(tmp_path / "m.safetensors")
    with pytest.raises(MemoryFileError, match="there is no network 'lenet'"):
        memcli.evaluate(tmp_path / "m.safetensors", "fake:classes=3,shape=1x8x8")
    with pytest.raises(UsageError, match="there is no network 'other'"):
        retrain(tmp_path / "m.safetensors", network="other")
    assert retrain(tmp_path / "m.safetensors", network="mlp:width=8", steps=1).accuracy is None


@pytest.mark.parametrize("job", [memcli.recall, memcli.retrain])
def test_jobs_keep_the_limits_that_they_are_given(tmp_path: Path, job: Callable[..., object]) -> None:
    path = write_memory(tmp_path / "m.safetensors")
    with pytest.raises(LimitError, match=r"takes about 0\.0 hours"):
        job(memoryfile.read(path), tmp_path / "out", limits=Limits(max_seconds=1e-9))
    assert not (tmp_path / "out").exists()


def test_every_protocol_of_an_evaluation_is_counted(tmp_path: Path) -> None:
    path, limits = write_memory(tmp_path / "m.safetensors"), Limits(max_seconds=1e-5)
    evaluate = partial(memcli.evaluate, path, "fake:classes=3,shape=1x8x8,n=60,test=6", runs=1, limits=limits)
    assert evaluate().complete, "by the file's own recipe"
    with pytest.raises(LimitError, match=r"training mlp:width=8 for 1000 steps of 12 images takes about 0\.0 hours"):
        evaluate(protocol=("own", "idc"))
