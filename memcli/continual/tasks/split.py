"""`split` and `cifar100`: every task has its own classes, and a test image comes with its task.

Incremental CIFAR-100 as in La-MAML (Gupta et al., NeurIPS 2020): 20 tasks of 5 classes in a random order, 2,250
training images each (a tenth of each class is set apart), and a memory of 200 images.
"""

import math

import torch

from memcli.continual.tasks.base import Benchmark, Stream, Task, sizes
from memcli.data.images import LabelledImages
from memcli.data.sources.base import Source, holdout
from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.seeds import generator
from memcli.text import printable, whole_number

_CIFAR = "cifar100[:classes=5,memory=200]"
_SPLIT = "split[:SOURCE]:CLASSES_PER_TASK[:classes=ALL,memory=10_A_TASK]"
_IMAGES_PER_TASK = 10  # the budget of one task of `split`, in images of raw pixels: that of cifar100
_SET_APART = 0.1


def by_class(benchmark: str, source: Source, per_task: int, memory: int, network: str, seed: int) -> Stream:
    """Tasks of `per_task` classes each, in an order drawn by `seed`; `memory`: the budget of all tasks in images.

    A tenth of each class's training images is set apart, as in La-MAML, and not used. The normalisation is that of the
    first task's training images.
    """
    count = len(source.classes)
    if per_task >= count or count % per_task:
        divisors = ", ".join(str(size) for size in range(1, count) if count % size == 0)
        raise UsageError(
            f"{count} classes cannot be cut into tasks of {per_task}",
            do=f"Choose the classes of a task from the divisors: {divisors or 'there is none'}",
        )
    order = torch.randperm(count, generator=generator(seed, "class order"))

    def task(number: int) -> Task:
        mine = order[number * per_task : (number + 1) * per_task]

        def load(split: str) -> LabelledImages:
            of_split = source.split(split)
            chosen = of_split.subset(torch.nonzero(torch.isin(of_split.labels, mine)).flatten())
            return holdout(chosen, count, seed, _SET_APART)[0] if split == "train" else chosen

        return Task(f"task {number}", tuple(mine.sort().values.tolist()), load)

    tasks = tuple(task(number) for number in range(count // per_task))
    first = tasks[0].train()
    own = torch.searchsorted(torch.tensor(tasks[0].classes), first.labels)
    names = tuple(source.classes[label] for label in tasks[0].classes)
    normalisation = Source(source.name, names, source.shape, lambda _: LabelledImages(first.images, own)).spec
    data = DataSpec(f"{source.name} {benchmark}", *source.shape, source.classes, normalisation.mean, normalisation.std)
    return Stream(benchmark, data, tasks, masked=True, network=network, floats=memory * math.prod(source.shape))


def of_classes(source: Source, count: int, seed: int) -> Source:
    """`source` with `count` of its classes, drawn by `seed`, in their order, and the images of those alone."""
    if not 0 < count <= len(source.classes):
        raise UsageError(
            f"the source has {len(source.classes)} classes, and {count} are asked for", do="Ask for no more than it has"
        )
    drawn = torch.randperm(len(source.classes), generator=generator(seed, "classes"))[:count].sort().values

    def load(split: str) -> LabelledImages:
        images = source.split(split)
        own = images.subset(torch.nonzero(torch.isin(images.labels, drawn)).flatten())
        return LabelledImages(own.images, torch.searchsorted(drawn, own.labels))

    return Source(source.name, tuple(source.classes[label] for label in drawn.tolist()), source.shape, load)


def open_cifar100(rest: str, source: Source, seed: int) -> Stream:
    size = sizes(rest, _CIFAR, classes=5, memory=200)
    return by_class("cifar100", source, size["classes"], size["memory"], "strided", seed)


def open_split(rest: str, source: Source, seed: int) -> Stream:
    first, _, settings = rest.partition(":")
    per_task = whole_number(first, f"the classes per task of {printable(_SPLIT)}")
    size = sizes(settings, _SPLIT, classes=len(source.classes), memory=0)
    if size["classes"] != len(source.classes):
        source = of_classes(source, size["classes"], seed)
    memory = size["memory"] or _IMAGES_PER_TASK * size["classes"] // per_task
    network = "strided" if min(source.shape[1:]) >= 8 else "mlp:width=100,depth=3"
    return by_class("split", source, per_task, memory, network, seed)


CIFAR100 = Benchmark(
    "cifar100", _CIFAR, "5 new classes of CIFAR-100 for each task; a test image comes with its task", open_cifar100
)
SPLIT = Benchmark(
    "split", _SPLIT, "that many new classes of any source for each task; a test image comes with its task", open_split
)
