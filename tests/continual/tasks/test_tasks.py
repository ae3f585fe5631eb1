"""Streams of tasks: what each benchmark fixes, and that a finished task's training images are gone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch

from memcli.continual.tasks import Stream, Task, benchmarks, open_stream, parsed
from memcli.continual.tasks.base import transformed
from memcli.continual.tasks.permutations import permutation
from memcli.continual.tasks.rotations import angles
from memcli.data.images import LabelledImages
from memcli.data.sources import Source, open_source
from memcli.errors import DataError, UsageError

CHANGED = ("rotations", "permutations", "many")
SMALL = "tasks=4,images=60,memory=8"


@pytest.fixture(scope="module")
def source() -> Source:
    return open_source("fake:classes=4,shape=1x8x8,n=120,test=20")


@pytest.fixture(scope="module")
def coloured() -> Source:
    """What CIFAR-100 looks like, but for its size."""
    return open_source("fake:classes=100,shape=3x32x32,n=1000,test=200")


def test_a_finished_tasks_training_images_are_refused_and_its_test_images_are_not() -> None:
    read = []

    def load(split: str) -> LabelledImages:
        read.append(split)
        return LabelledImages(torch.zeros(2, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 1]))

    task = Task("task 3", (0, 1), load)
    assert len(task.train()) == 2
    task.finish()
    with pytest.raises(DataError, match=r"training images of task 3 are gone.*Use the memory"):
        task.train()
    assert read == ["train"]
    assert len(task.test()) == 2


def test_every_class_of_a_task_needs_an_image() -> None:
    one = LabelledImages(torch.zeros(1, 1, 1, 1, dtype=torch.uint8), torch.tensor([0]))
    with pytest.raises(DataError, match="a class of it has no training image"):
        Task("it", (0, 1), lambda _: one).train()


@pytest.mark.parametrize("name", CHANGED)
def test_every_task_has_all_classes_its_own_images_and_the_whole_test_split(name: str, source: Source) -> None:
    stream = open_stream(f"{name}:{SMALL}", source, 0)
    assert (len(stream.tasks), stream.masked, stream.network) == (4, False, "mlp:width=100,depth=3")
    assert (stream.floats, stream.floats_per_task) == (8 * 64, 2 * 64)
    assert stream.task_data(2) == stream.data
    parts = [task.train() for task in stream.tasks]
    assert all(len(part) == 60 for part in parts)
    assert not torch.equal(parts[0].labels, parts[1].labels)
    assert all(torch.equal(task.test().labels, source.split("test").labels) for task in stream.tasks)
    again = open_stream(f"{name}:{SMALL}", source, 0).tasks[3]
    assert torch.equal(again.train().images, parts[3].images)
    other = open_stream(f"{name}:{SMALL}", source, 1).tasks[3]
    assert not torch.equal(other.test().images, again.test().images)
    pixels = parts[0].normalised(stream.data)
    assert abs(pixels.mean().item()) < 1e-4
    assert abs(pixels.std().item() - 1) < 1e-3


@pytest.mark.parametrize(("name", "tasks", "images", "memory"), [("rotations", 20, 1000, 200), ("many", 100, 200, 500)])
def test_the_published_sizes_are_the_defaults(name: str, tasks: int, images: int, memory: int) -> None:
    stream = open_stream(name, open_source("fake:classes=10,shape=1x8x8,n=1500,test=20"), 0)
    assert (len(stream.tasks), len(stream.tasks[0].train()), stream.floats) == (tasks, images, memory * 64)


def test_angles_lie_in_their_own_parts_of_180_degrees() -> None:
    for seed in range(3):
        assert all(9 * t <= angle < 9 * (t + 1) for t, angle in enumerate(angles(20, seed)))
    assert angles(20, 0) != angles(20, 1)


def test_rotation_is_about_the_centre_without_mixing_pixels(source: Source) -> None:
    stream = open_stream(f"rotations:{SMALL}", source, 0)
    before, after = source.split("test").images, stream.tasks[2].test().images
    assert set(after[0].flatten().tolist()) <= set(before[0].flatten().tolist()) | {0}
    quarter = open_stream("rotations:tasks=2,images=60,memory=8", source, _seed_near_90()).tasks[1].test().images
    assert (quarter[:, :, 2:6, 2:6] == before.rot90(1, (2, 3))[:, :, 2:6, 2:6]).float().mean() > 0.9


def _seed_near_90() -> int:
    return next(seed for seed in range(1000) if angles(2, seed)[1] < 91)


def test_a_permutation_moves_pixels_and_changes_none(source: Source) -> None:
    stream = open_stream(f"permutations:{SMALL}", source, 5)
    before, after = source.split("test").images.flatten(1), stream.tasks[1].test().images.flatten(1)
    assert torch.equal(after, before[:, permutation(64, 5, 1)])
    assert not torch.equal(after, before)
    assert torch.equal(after.sort(1).values, before.sort(1).values)


def test_cifar100_gives_five_new_classes_a_task(coloured: Source) -> None:
    stream = open_stream("cifar100", coloured, 0)
    assert (len(stream.tasks), stream.masked, stream.network) == (20, True, "strided")
    assert stream.floats == 200 * 3 * 32 * 32
    seen = [label for task in stream.tasks for label in task.classes]
    assert sorted(seen) == list(range(100))
    assert seen != sorted(seen)
    for task in stream.tasks[:2]:
        assert set(task.test().labels.tolist()) == set(task.classes)
        assert len(task.train()) == 5 * 9  # a tenth of each class's ten images is set apart
    data = stream.task_data(1)
    assert data.classes == tuple(coloured.classes[label] for label in stream.tasks[1].classes)
    assert (data.mean, data.std) == (stream.data.mean, stream.data.std)


def test_split_takes_any_source(source: Source) -> None:
    stream: Stream = open_stream("split:2", source, 0)
    assert [len(task.classes) for task in stream.tasks] == [2, 2]
    assert stream.floats_per_task == 10 * 64
    assert stream.data.classes == source.classes


def test_split_may_take_some_classes_and_another_budget(source: Source) -> None:
    streams = [open_stream("split:1:classes=2,memory=6", source, seed) for seed in range(8)]
    drawn = [stream.data.classes for stream in streams]
    assert len(set(drawn)) > 1, "they are drawn by the seed"
    assert drawn[0] == open_stream("split:1:classes=2,memory=6", source, 0).data.classes
    stream, names = streams[0], source.classes
    assert [name for name in names if name in drawn[0]] == list(drawn[0]), "in their order"
    assert (len(stream.tasks), stream.floats) == (2, 6 * 64)
    for task in stream.tasks:
        (label,) = task.classes
        test = source.split("test")
        own = test.images[test.labels == names.index(drawn[0][label])]
        assert torch.equal(task.test().images, own), "the images of the class of that name"
        assert set(task.train().labels.tolist()) == {label}


def test_split_may_name_its_source() -> None:
    assert parsed("split:torchvision:CIFAR10@a/b:2") == ("split:2", "torchvision:CIFAR10@a/b")
    assert parsed("split:parquet:a/b:5:classes=100,memory=200") == ("split:5:classes=100,memory=200", "parquet:a/b")
    assert parsed("split:fake:classes=4,shape=1x8x8:2") == ("split:2", "fake:classes=4,shape=1x8x8")
    assert parsed("split:2:classes=4") == ("split:2:classes=4", None)
    assert parsed("split:npz:v2:3.npz:7") == ("split:7", "npz:v2:3.npz")
    assert parsed("split:2") == ("split:2", None)
    assert parsed("many:tasks=3") == ("many:tasks=3", None)


@pytest.mark.parametrize(("text", "trivial"), [("split:1", True), ("split:2", False), (f"rotations:{SMALL}", False)])
def test_tasks_of_one_class_that_is_told_are_trivial(text: str, trivial: bool, source: Source) -> None:
    assert open_stream(text, source, 0).is_trivial == trivial


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("spirals", UsageError, "no benchmark 'spirals'.*Choose from rotations"),
        ("many:colour=3", UsageError, "no setting 'colour'.*Write many"),
        ("many:tasks=0", UsageError, "tasks is '0'"),
        ("permutations:images=121", DataError, "120 training images, and a task takes 121"),
        ("split:3", UsageError, r"4 classes cannot be cut into tasks of 3\. Choose .* from the divisors: 1, 2\."),
        ("split:4", UsageError, "4 classes cannot be cut into tasks of 4"),
        ("split:x", UsageError, "classes per task"),
        ("split:2:classes=5", UsageError, r"has 4 classes, and 5 are asked for\. Ask for no more"),
        ("split:2:rows=5", UsageError, r"no setting 'rows'\. Write split"),
    ],
)
def test_impossible_benchmarks_are_refused(text: str, error: type[Exception], message: str, source: Source) -> None:
    with pytest.raises(error, match=message):
        open_stream(text, source, 0)


def test_every_benchmark_tells_its_usage(source: Source, coloured: Source) -> None:
    openers: dict[str, Callable[[], Stream]] = {
        "cifar100": lambda: open_stream("cifar100", coloured, 0),
        "split": lambda: open_stream("split:2", source, 0),
        **{name: lambda name=name: open_stream(f"{name}:{SMALL}", source, 0) for name in CHANGED},
    }
    told = [usage.partition("[")[0].partition(":")[0] for usage, _ in benchmarks()]
    assert sorted(told) == sorted(openers)
    assert all(openers[name]().benchmark == name for name in told)


def test_a_plug_in_changes_images_of_a_cache_as_those_in_memory(tmp_path: Path) -> None:
    """Those of docs/extending.md shift the pixels, which images in a file cannot."""
    tiny.write_images(tmp_path / "pets")

    def darker(images: LabelledImages, number: int) -> LabelledImages:
        return LabelledImages(images.images >> number, images.labels)  # type: ignore[operator]

    pixels = []
    for cache in (None, tmp_path / "cache"):
        source = open_source(tmp_path / "pets", cache=cache)
        stream = transformed("shades", source, darker, tasks=2, images=8, floats=100, seed=0)
        pixels.append([task.test().whole() for task in stream.tasks])
    assert all(torch.equal(one, other) for one, other in zip(*pixels, strict=True))
    assert torch.equal(pixels[0][1], pixels[0][0] >> 1)
