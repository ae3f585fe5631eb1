"""The figures of a stream of tasks: the matrix of accuracies, its means, and two baselines."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from memcli import seeds
from memcli.continual.plan import Plan
from memcli.continual.tasks import Stream
from memcli.data.images import LabelledImages
from memcli.errors import MemoryFileError
from memcli.jobs.retrain import TrainingSet
from memcli.networks import build
from memcli.progress import Progress
from memcli.training.keeping import Store
from memcli.training.loop import train

_BATCH = 2000  # test images in one pass


@dataclass(frozen=True)
class Figures:
    """The figures of one stream, as fractions of 1."""

    matrix: tuple[tuple[float | None, ...], ...]  # [i][j]: the network after task i on task j; None for j > i
    joint: float  # of a network trained on the training images of all tasks, by the same recipe
    random: float  # of one trained on as many raw training images as fit in the budget, by the same recipe

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any], tasks: int) -> Self:
        """What `to_json` gave for so many tasks. MemoryFileError where it cannot have."""
        matrix: Any = data.get("matrix")
        means: tuple[Any, Any] = data.get("joint"), data.get("random")
        square = isinstance(matrix, list) and [isinstance(row, list) and len(row) for row in matrix] == tasks * [tasks]
        if not (square and all(map(_is_share, means))) or any(
            value is not None if later > after else not _is_share(value)
            for after, row in enumerate(matrix)
            for later, value in enumerate(row)
        ):
            raise MemoryFileError("the figures of the stream are damaged", do="Start afresh with `force`")
        return cls(tuple(map(tuple, matrix)), *means)

    @property
    def ra(self) -> float:
        """Retained accuracy: the mean over all tasks after the last one."""
        return _mean(self.matrix[-1])

    @property
    def la(self) -> float:
        """The mean over tasks of the accuracy just after each."""
        return _mean([row[number] for number, row in enumerate(self.matrix)])

    @property
    def bti(self) -> float:
        """Backward transfer and interference, RA - LA: negative where tasks are forgotten."""
        return self.ra - self.la


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _mean(values: "tuple[float | None, ...] | list[float | None]") -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


@torch.no_grad()
def accuracies(stream: Stream, networks: list[nn.Module], number: int) -> list[float]:
    """The share of task `number`'s test images that each network gives its own label.

    The images are prepared once for all networks. Where a test image comes with its task, only the task's classes are
    possible answers.
    """
    task, data = stream.tasks[number], stream.data
    images = task.test()
    right = torch.zeros(len(networks), dtype=torch.int64)
    barred = torch.ones(len(data.classes), dtype=torch.bool)
    barred[list(task.classes)] = False
    for chosen in torch.arange(len(images)).split(_BATCH):
        pixels, labels = images.normalised(data, chosen), images.labels[chosen]
        for index, network in enumerate(networks):
            logits = network(pixels)
            if stream.masked:
                logits = logits.masked_fill(barred, -math.inf)
            right[index] += (logits.argmax(1) == labels).sum()
    shares: list[float] = (right.double() / len(images)).tolist()
    return shares


def baselines(
    stream: Stream,
    plan: Plan,
    *,
    seed: int,
    progress: Progress | None = None,
    stores: Sequence[Store | None] = (None, None),
) -> tuple[float, float]:
    """The joint and the random baseline: mean accuracy over all tasks of networks trained on real images.

    The first is trained on all images of every task, the second on as many as the memory's numbers would hold as raw
    pixels, drawn at random in equal numbers from every task. The tasks of `stream` must not be finished. `stores` keep
    the two trainings.
    """
    parts = [task.train() for task in stream.tasks]
    each = plan.numbers(stream.floats_per_task) // stream.data.floats_per_image
    few = [
        part.subset(torch.randperm(len(part), generator=seeds.generator(seed, "raw images", number))[:each])
        for number, part in enumerate(parts)
    ]
    recipe, means = plan.on_real, []
    titled = (("training on all images", parts), ("training on raw images of the budget", few))
    for (title, chosen), store in zip(titled, stores, strict=True):
        network = build(recipe.network, stream.data, seed=seed)
        batch = _real(stream, chosen).batches(recipe.batch, seed)
        train(network, recipe, batch, progress, seed=seed, title=title, store=store)
        reached = [accuracies(stream, [network], number)[0] for number in range(len(stream.tasks))]
        means.append(sum(reached) / len(reached))
    return means[0], means[1]


def _real(stream: Stream, parts: list[LabelledImages]) -> TrainingSet:
    images: list[Tensor] = [part.normalised(stream.data) for part in parts]
    labels = torch.cat([part.labels for part in parts])
    one_hot = torch.nn.functional.one_hot(labels, len(stream.data.classes)).float()
    return TrainingSet(stream.data, torch.cat(images), one_hot)
