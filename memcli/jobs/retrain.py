"""Training a network from memory files alone."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from memcli import __version__
from memcli.data.sampling import shuffled_epochs
from memcli.data.sources import Source
from memcli.data.spec import MAX_NAME, DataSpec
from memcli.errors import DivergedError, Interrupted, MemoryFileError
from memcli.files import atomic
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.memoryfile import Artifact
from memcli.files.space import require_space
from memcli.files.unfinished import Unfinished
from memcli.files.weights import Retrained, checksum, save
from memcli.jobs import budget
from memcli.jobs.classnames import ClassNames
from memcli.jobs.device import resolve
from memcli.jobs.ending import computing
from memcli.jobs.opening import MemoryLike, loaded, open_aligned
from memcli.memory.memory import Memory, Query
from memcli.networks import build, sized
from memcli.networks.cost import cost
from memcli.progress import Progress, Silent
from memcli.stopping import AGAIN, Stopped, stoppable, whole
from memcli.text import printable
from memcli.training.keeping import Store
from memcli.training.loop import Batch, accuracy, recalled_batches, train
from memcli.training.recipe import TrainRecipe


@dataclass(frozen=True, eq=False)  # tensors have no single equality
class TrainingSet:
    """Everything that some memories recall, image after image."""

    data: DataSpec  # of all of them together
    images: Tensor  # (n, C, H, W), normalised
    labels: Tensor  # (n, classes), one-hot where labels are not learned

    def batches(self, size: int, seed: int) -> Batch:
        """Minibatches of `size` images in shuffled epochs; minibatch t is a pure function of (seed, t)."""
        numbers = shuffled_epochs(len(self.images), size, seed, "recalled images")

        def batch(step: int) -> tuple[Tensor, Tensor]:
            chosen = numbers(step).to(self.images.device)
            return self.images[chosen], self.labels[chosen]

        return batch


def common_data(named: Mapping[str, DataSpec]) -> DataSpec:
    """The data set of several memories together: the classes of all, each name once, in the order of their first file.

    Raises MemoryFileError, naming the file, where one has images of another shape or normalisation than the first.
    """
    (first_name, first), *others = named.items()
    for name, data in others:
        for what, mine, its in (
            ("images of shape", first.shape, data.shape),
            ("a mean of", first.mean, data.mean),
            ("a standard deviation of", first.std, data.std),
            ("a fit of", first.fit, data.fit),
        ):
            if mine != its:
                raise MemoryFileError(
                    f"{printable(name)} has {what} {its}, and {printable(first_name)} {mine}",
                    do="Give memories of the same kind of images",
                )
        if data.zca != first.zca:
            raise MemoryFileError(
                f"the images of {printable(name)} are not whitened as those of {printable(first_name)} are",
                do="Give memories that were distilled without `zca`, or one of them alone",
            )
    names = dict.fromkeys(data.name for data in named.values())
    classes = dict.fromkeys(label for data in named.values() for label in data.classes)
    return replace(first, name=" + ".join(names)[:MAX_NAME], classes=tuple(classes))


@torch.no_grad()
def recall_all(memories: Mapping[str, Memory], data: DataSpec, limits: Limits = DEFAULT_LIMITS) -> TrainingSet:
    """All rows of all classes of `memories`, labelled with the classes of `data`, which holds those of every memory.

    Raises LimitError where that is more than `limits` allow.
    """
    limits.require_recall(data, sum(memory.spec.recalled for memory in memories.values()))
    position = {name: label for label, name in enumerate(data.classes)}
    images, labels = [], []
    for memory in memories.values():
        query = Query.everything(memory.spec)
        images.append(memory.recall(query))
        placed = images[-1].new_zeros(len(query), len(data.classes))
        placed[:, [position[name] for name in memory.spec.data.classes]] = memory.targets(query).to(placed)
        labels.append(placed)
    return TrainingSet(data, torch.cat(images), torch.cat(labels))


def common_recipe(artifacts: Mapping[str, Artifact]) -> TrainRecipe:
    """How a network is trained on several memories: as the first file says, for the most steps that any file says."""
    recipes = [artifact.manifest.retrain for artifact in artifacts.values()]
    return replace(recipes[0], steps=max(recipe.steps for recipe in recipes))


def train_on_memories(
    artifacts: Artifact | Mapping[str, Artifact],
    *,
    recipe: TrainRecipe | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress | None = None,
    title: str = "retraining",
    data: DataSpec | None = None,
    limits: Limits = DEFAULT_LIMITS,
    store: Store | None = None,
) -> Retrained:
    """Train a fresh network on what a memory, or the union of several by name, recalls.

    `recipe` defaults to the file's own (several: `common_recipe`), `device` to the CPU, and `data`, which holds the
    classes that the network tells apart, to those of the files. One memory's minibatches are balanced over its
    classes; those of a union are drawn from all images alike. `store` keeps the state, as `train` says.
    Raises UsageError for a network that is unknown or does not take the images, MemoryFileError where memories do not
    fit together, LimitError where they recall too much, DivergedError where training does not stay finite.
    """
    named = {"the memory": artifacts} if isinstance(artifacts, Artifact) else artifacts
    recipe, device = recipe or common_recipe(named), device or torch.device("cpu")
    memories = {name: artifact.memory.to(device) for name, artifact in named.items()}
    common = common_data({name: memory.spec.data for name, memory in memories.items()})
    data = data or common
    began = time.monotonic()
    network = build(recipe.network, data, seed=seed).to(device)
    union = len(memories) > 1 or data != common
    images = recipe.images(len(data.classes), union=union)
    if union:
        batch = recall_all(memories, data, limits).batches(images, seed)
    else:
        (memory,) = memories.values()
        batch = recalled_batches(memory, images, seed, recipe.mixture)
    train(network, recipe, batch, progress, seed=seed, title=title, store=store)
    return Retrained(network, data, recipe, seed, time.monotonic() - began)


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that was trained on memories, and what became of it."""

    trained: Retrained
    accuracy: float | None  # of the test split of the data that was given, in [0, 1]
    sha256: str | None  # the checksum of the weights, where they were written
    memory_sha256: str  # that of the memory, or of several together

    @property
    def network(self) -> nn.Module:
        """Normalised images (n, C, H, W) -> logits (n, classes); in evaluation mode, on the device of training."""
        return self.trained.network


def retrain(
    memories: MemoryLike | Sequence[MemoryLike],
    output: str | Path | None = None,
    *,
    network: str | None = None,
    steps: int | None = None,
    batch: int | None = None,
    lr: float | None = None,
    data: Source | str | Path | None = None,
    download: bool = False,
    skip_damaged: int = 0,
    cache: str | Path | None = None,
    class_names: ClassNames | None = None,
    split: str = "test",
    seed: int = 0,
    device: str | torch.device = "auto",
    force: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    expect_sha256: str | Sequence[str] = (),
    progress: Progress | None = None,
) -> TrainedNetwork:
    """Train a fresh network on what a memory recalls, or several together, as `memcli retrain` does.

    `memories`: what `load` gives, or paths. `network` (such as "resnet18"), `steps` of SGD, `batch` (images a step) and
    `lr` default to what the memory's file says. `output`: where the weights are written, if anywhere; `force` replaces
    a file. `data`: real images whose test split the network is then measured on, or all of which where `split` is
    "all"; up to `skip_damaged` that cannot be read are left out, and `class_names` maps names of its classes to the
    memory's. `expect_sha256`: the checksum of each memory, in their order.

    Raises UsageError for a network that is unknown or does not take the images, MemoryFileError for files that are
    damaged or do not fit together, DataError for data that does not fit them, ExistsError where `output` exists,
    LimitError where more would be recalled, or trained for, than `limits` or the disk allow, DivergedError
    where training does not stay finite, Interrupted after SIGINT or SIGTERM. A training that was stopped or killed goes
    on where the same is asked for again: its state is in OUTPUT.unfinished, kept every minute and at the stop.
    """
    progress = progress or Silent()
    if output is not None:
        atomic.check_output(output, force)
    artifacts = loaded(memories, limits, expect_sha256)
    if output is not None:
        atomic.check_apart(output, *artifacts)
    common = common_data({name: artifact.memory.spec.data for name, artifact in artifacts.items()})
    recipe = _asked(common_recipe(artifacts), common, network, {"steps": steps, "batch": batch, "lr": lr})
    place = resolve(device) if isinstance(device, str) else device
    specs = [artifact.spec for artifact in artifacts.values()]
    budget.require_training(specs, common, recipe, limits, place, of_file=network is None)
    source = None
    if data is not None:
        reading: dict[str, Any] = {"download": download, "skip_damaged": skip_damaged, "cache": cache, "split": split}
        source = open_aligned(data, common, class_names=class_names, progress=progress, **reading)
    if output is not None and (needs := cost(recipe.network, common)):
        require_space(output, 4 * needs.parameters, "the file of weights")
    work = {"recipe": recipe, "seed": seed, "device": place, "progress": progress, "limits": limits}
    return _made(artifacts, output, source, force, work)


def _made(
    artifacts: dict[str, Artifact], output: str | Path | None, source: Source | None, force: bool, work: dict[str, Any]
) -> TrainedNetwork:
    """Train, measure and write; `work`: the arguments of `train_on_memories`. What is not over is kept beside."""
    recipe, progress = work["recipe"], work["progress"]
    union = checksum([artifact.sha256 for artifact in artifacts.values()])
    here = {"memcli": __version__, **computing(work["device"])}
    settings = {"memory_sha256": union, "retrain": recipe.to_json(), "seed": work["seed"], **here}
    kept = None if output is None else Unfinished(output, settings, progress.note)
    sha256 = None
    with _stopping(kept, recipe, progress):
        trained = train_on_memories(artifacts, **work, store=kept)
        reached = None if source is None else accuracy(trained.network, source.split("test"), trained.data)
        if kept is not None:
            with suppress(Stopped), whole():  # what is left to do is quick
                sha256 = save(kept.target, trained, memory_sha256=union, force=force)
                kept.remove()
    return TrainedNetwork(trained, reached, sha256, union)


def _asked(recipe: TrainRecipe, data: DataSpec, network: str | None, given: dict[str, Any]) -> TrainRecipe:
    """`recipe` for the network, and with the settings, that are given."""
    if network is not None and network != recipe.network:
        recipe = recipe.for_network(sized(network, data))
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


@contextmanager
def _stopping(kept: Unfinished | None, recipe: TrainRecipe, progress: Progress) -> Iterator[None]:
    """Let a signal end the block, with a word on what is kept; of a training that diverged nothing is."""
    try:
        with stoppable(progress):
            yield
    except Stopped as stopped:
        if kept is None or not kept.kept:
            raise Interrupted("stopped before anything was kept", do="Give the same command again") from stopped
        what = f"stopped after {kept.kept} of {recipe.steps} steps, which are kept in {printable(str(kept.path))}"
        raise Interrupted(what, do=AGAIN) from stopped
    except DivergedError:
        if kept is not None:
            kept.remove()
        raise
