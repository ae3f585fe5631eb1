"""A stream of tasks: labelled images that arrive one task at a time, and cannot be read after it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from memcli.data.images import LabelledImages
from memcli.data.sources.base import Source
from memcli.data.spec import DataSpec
from memcli.errors import DataError, UsageError
from memcli.seeds import generator
from memcli.text import parse_call, printable, whole_number


@final
class Task:
    """One task of a stream. Its training images can be read until it is finished, and never after.

    Labels are numbers of the stream's classes.
    """

    def __init__(self, name: str, classes: tuple[int, ...], load: Callable[[str], LabelledImages]) -> None:
        """`load("train")` and `load("test")` give the task's images; `classes` are the labels that it has."""
        self.name, self.classes = name, classes
        self._load, self._finished = load, False

    def train(self) -> LabelledImages:
        """The training images. Raises DataError once the task is finished, or where a class has no image."""
        if self._finished:
            raise DataError(f"the training images of {self.name} are gone", do="Use the memory that was made of them")
        images = self._load("train")
        if set(images.labels.unique().tolist()) != set(self.classes):
            raise DataError(f"a class of {self.name} has no training image", do="Give more images to each task")
        return images

    def test(self) -> LabelledImages:
        """The test images, to measure networks with: also after the task is finished."""
        return self._load("test")

    def finish(self) -> None:
        """The task is over: from now on its training images are refused."""
        self._finished = True


@dataclass(frozen=True, eq=False)
class Stream:
    """All tasks of a benchmark in the order of their arrival, with the settings that it fixes."""

    benchmark: str
    data: DataSpec  # of all tasks together: the classes of every task, and one normalisation
    tasks: tuple[Task, ...]
    masked: bool  # whether a test image comes with its task, so that only the task's classes are possible answers
    network: str  # the network that the benchmark trains
    floats: int  # the budget of all memories together

    @property
    def is_trivial(self) -> bool:
        """Whether a test image comes with a task of one class, which is then the only possible answer."""
        return self.masked and any(len(task.classes) == 1 for task in self.tasks)

    @property
    def floats_per_task(self) -> int:
        return self.floats // len(self.tasks)

    def task_data(self, number: int) -> DataSpec:
        """The data set of one task alone: its own classes, the stream's normalisation."""
        names = tuple(self.data.classes[label] for label in self.tasks[number].classes)
        return replace(self.data, classes=names)


@dataclass(frozen=True)
class Benchmark:
    """One family of streams: `open(rest, source, seed)`, where `rest` is the text after its name and a colon."""

    name: str
    usage: str
    about: str
    open: Callable[[str, Source, int], Stream]


def pieces(count: int, size: int, tasks: int, seed: int) -> list[Tensor]:
    """For each task `size` of the numbers below `count`, drawn without replacement within a task."""
    if size > count:
        raise DataError(f"the source has {count} training images, and a task takes {size}", do="Give a larger data set")
    return [torch.randperm(count, generator=generator(seed, "task images", task))[:size] for task in range(tasks)]


def transformed(
    benchmark: str,
    source: Source,
    change: Callable[[LabelledImages, int], LabelledImages],
    *,
    tasks: int,
    images: int,
    floats: int,
    seed: int,
) -> Stream:
    """`tasks` tasks of `images` training images of `source`, each task with all classes and changed in its own way.

    `change(images, number)` is applied to training and test images alike, which are in memory. All tasks share one
    head, and test images come without their task. The normalisation is that of the first task's training images: it is
    known from the start.
    """
    chosen = pieces(len(source.split("train")), images, tasks, seed)

    def task(number: int) -> Task:
        def load(split: str) -> LabelledImages:
            images_of_split = source.split(split)
            own = images_of_split.subset(chosen[number]) if split == "train" else images_of_split
            return change(LabelledImages(own.whole(), own.labels), number)

        return Task(f"task {number}", tuple(range(len(source.classes))), load)

    made = tuple(task(number) for number in range(tasks))
    first = Source(f"{source.name} {benchmark}", source.classes, source.shape, lambda _: made[0].train())
    return Stream(benchmark, first.spec, made, masked=False, network="mlp:width=100,depth=3", floats=floats)


def sizes(rest: str, usage: str, **defaults: int) -> dict[str, int]:
    """The settings `key=value,...` of a benchmark, all of them whole numbers; UsageError where one is unknown."""
    given = parse_call(f":{rest}")[1]
    if unknown := sorted(given.keys() - defaults.keys()):
        raise UsageError(f"the benchmark has no setting {printable(unknown[0])!r}", do=f"Write {usage}")
    return {key: whole_number(given[key], key) if key in given else value for key, value in defaults.items()}
