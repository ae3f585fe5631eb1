"""What a command is about to take of time, memory and disk, counted from sizes alone, and refused above its limits.

Nothing has been computed when this is called. Times are those of a slow machine: a file must not be refused on one that
it would run on in time.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from memcli import machine
from memcli.data.spec import DataSpec
from memcli.errors import LimitError, MemoryFileError, UsageError
from memcli.exporters import Exporter
from memcli.files.limits import Limits
from memcli.files.space import require_space
from memcli.memory import query
from memcli.memory.cost import at_once, held_bytes, operations
from memcli.memory.spec import MemorySpec
from memcli.networks.cost import cost, counted
from memcli.text import printable
from memcli.training.recipe import TrainRecipe

_OF_CORE, _OF_GPU = 2.5e10, 1e13  # multiplications and additions a second
_FORWARD_AND_BACK = 3  # passes forward that take as long as one step
_KEPT = 3  # copies of the weights in training: they, their gradients, and momentum
_SMALL = 512 * 512  # pixels of an image that any network takes without much memory
_COPIES = 4  # of the images of a step: recalled, augmented, with noise, and in another layout


def require_recall(
    spec: MemorySpec,
    exporter: Exporter,
    path: str | Path,
    labels: Tensor | None,
    rows: int,
    chunk: int,
    limits: Limits,
    device: torch.device,
) -> None:
    """Raise LimitError where writing `rows` images of each label vector of `labels`, None: of each class, to `path` is
    too much.

    `labels` is (q, classes), and `chunk` the most images that are recalled at once.
    """
    classes = len(spec.data.classes)
    total = rows * (classes if labels is None else len(labels))
    weights = classes
    if spec.labels == "fixed":
        weights = 1 if labels is None else max(1, int(labels.count_nonzero(1).max()))
    written = exporter.most_bytes(spec.data, total, weights)
    limits.require_bytes("what it writes", written)
    require_space(path, written, "what it writes")
    require_computing(spec, total, chunk, limits, device, mixed=labels is not None and query.mixed(labels))


def require_computing(
    spec: MemorySpec, total: int, chunk: int, limits: Limits, device: torch.device, *, mixed: bool = False
) -> None:
    """Raise LimitError where recalling `total` images is too much, at most `chunk` at once, and none is kept.

    `mixed`: whether an image may be of several classes.
    """
    held = held_bytes(spec, mixed=mixed)
    limits.require_bytes("recalling one image", held)
    _require_free(held * at_once(spec, min(chunk, total), mixed=mixed), limits, device, "chunk")
    limits.require_seconds("the recall", total * operations(spec, mixed=mixed) / _speed(device))


def require_training(
    specs: list[MemorySpec],
    data: DataSpec,
    recipe: TrainRecipe,
    limits: Limits,
    device: torch.device,
    *,
    of_file: bool,
) -> None:
    """Raise LimitError where training by `recipe` on memories of `specs` is too much; `data` has the classes of all.

    `of_file`: the network was named by the file, so that one that cannot be built is the file's fault: then
    MemoryFileError is raised, else UsageError.
    """
    try:
        needs = cost(recipe.network, data)
    except UsageError as error:
        if not of_file:
            raise
        raise MemoryFileError(
            f"its network cannot be trained: {error.what}", do="Choose another by `network`, or get the file again"
        ) from error
    if needs is None:  # a model that computes with its own numbers where it is made
        return
    classes, spec = len(data.classes), specs[0]
    several = len(specs) > 1
    images = recipe.images(classes, union=several)
    of_recall = 0 if several else operations(spec, mixed=recipe.mixture > 0)
    step = images * (_FORWARD_AND_BACK * needs.operations + of_recall)
    shown = printable(recipe.network, 60)
    limits.require_seconds(
        f"training {shown} for {recipe.steps} steps of {images} images", recipe.steps * step / _speed(device)
    )
    held = images * (needs.outputs + 4 * _COPIES * data.floats_per_image)
    held += 4 * _KEPT * needs.parameters
    if several:  # all that they recall is held
        held += 4 * sum(each.recalled for each in specs) * (data.floats_per_image + classes)
    else:
        held += images * held_bytes(spec, mixed=recipe.mixture > 0)
    _require_free(held, limits, device, "batch")


def require_looking(network: nn.Module, data: DataSpec, images: int, limits: Limits, device: torch.device) -> None:
    """Raise LimitError where a pass of so many images through a trained network needs more memory than is free."""
    if data.height * data.width <= _SMALL:
        return
    needs = counted(network, data)
    if needs is not None:
        _require_free(images * (2 * needs.largest + 4 * _COPIES * data.floats_per_image), limits, device, "network")


def _speed(device: torch.device) -> float:
    return _OF_CORE * machine.cores() if device.type == "cpu" else _OF_GPU


def _require_free(needed: int, limits: Limits, device: torch.device, smaller: str) -> None:
    """Raise LimitError where more memory is needed than `device` has free. Apple's GPU shares that of the machine."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else machine.available_memory()
    if limits.free_memory and free is not None and needed > free:
        raise LimitError(
            f"about {needed / 2**20:,.0f} MiB of memory are needed, and {free / 2**20:,.0f} MiB are free",
            do=f"Give a smaller `{smaller}`, or `trust` to try it all the same",
        )
