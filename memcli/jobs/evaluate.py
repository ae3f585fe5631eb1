"""How good a memory is: networks trained on it, and on real images for comparison, measured on the test split.

The test split is read here and nowhere else.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from memcli.data.sources.base import Source
from memcli.data.spec import DataSpec
from memcli.errors import DataError, DivergedError, GateError, UsageError
from memcli.files.memoryfile import Artifact
from memcli.files.validation import DEFAULT_LIMITS, Limits
from memcli.jobs.baselines import BASELINES
from memcli.jobs.baselines.base import Comparison
from memcli.jobs.device import resolve
from memcli.jobs.figures import Report, Trial
from memcli.jobs.opening import MemoryLike, loaded, open_aligned
from memcli.jobs.protocols import PROTOCOLS
from memcli.memory.memory import Memory
from memcli.networks import build
from memcli.progress import Progress, Silent
from memcli.seeds import derive
from memcli.text import printable
from memcli.training.loop import Batch, accuracy, recalled_batches, train
from memcli.training.recipe import TrainRecipe

_HALVINGS = 6  # of the rate, for a network that diverges


def evaluate(
    memory: MemoryLike,
    data: Source | str | Path,
    *,
    networks: str | Sequence[str] = (),
    runs: int = 5,
    baselines: str | Iterable[str] = (),
    protocol: str = "file",
    full_epochs: int = 10,
    seed: int = 0,
    device: str | torch.device = "auto",
    download: bool = False,
    skip_damaged: int = 0,
    split: str = "test",
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> Report:
    """Train fresh networks on a memory and measure them on the test split of `data`, as `memcli eval` does.

    `memory`: what `load` gives, or a path; `data`: what `open_source` gives, or a text for it. The others, the
    baselines and the protocols are told under `measure`. `split` "all" measures on every image of `data`, and
    `skip_damaged` leaves out up to so many that cannot be read. Accuracies of the report are shares of 1.

    Raises UsageError for impossible requests, MemoryFileError for a damaged file, DataError where the data does not
    fit the memory, DivergedError where training stays not finite at lower rates too.
    """
    artifacts = loaded(memory, limits)
    if len(artifacts) != 1:
        raise UsageError(f"{len(artifacts)} memories were given", do="Give one; `retrain` takes several")
    (artifact,) = artifacts.values()
    return measure(
        artifact,
        open_aligned(
            data, artifact.spec.data, download=download, skip_damaged=skip_damaged, split=split, progress=progress
        ),
        networks=(networks,) if isinstance(networks, str) else tuple(networks),
        runs=runs,
        baselines=frozenset((baselines,) if isinstance(baselines, str) else baselines),
        seed=seed,
        device=resolve(device) if isinstance(device, str) else device,
        progress=progress,
        full_epochs=full_epochs,
        protocol=protocol,
    )


def measure(
    artifact: Artifact,
    source_aligned: Source,
    *,
    networks: tuple[str, ...] = (),
    runs: int = 5,
    baselines: frozenset[str] = frozenset(),
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress | None = None,
    recipe: TrainRecipe | None = None,
    protocol: str = "file",
    full_epochs: int = 10,
) -> Report:
    """Train `runs` fresh networks of every kind on the memory and on each baseline; measure the whole test split.

    `networks` defaults to the recipe's own, and `recipe` to the file's; what `protocol` makes of it is said in its file
    (memcli.jobs.protocols). Run i starts from the same initial weights whatever it is trained on. Baselines:

    - "random": ceil(ipc) real training images of every class, drawn anew in every run, by the same recipe. ipc is what
      the memory's floats would hold as raw images.
    - "bytes": likewise, as many as the memory's bytes would hold at one byte a pixel and channel.
    - "full": all training images by the same optimiser, rate and batch, for `full_epochs` epochs.

    A training that diverges is begun again at half the rate, as are the later runs of that network on that data, with a
    note.

    Raises UsageError for impossible requests, DataError where the source was not aligned to the memory, and what
    training raises.
    """
    recipe, device, progress = recipe or artifact.manifest.retrain, device or torch.device("cpu"), progress or Silent()
    for name in sorted(baselines):
        BASELINES.find(name)
    for what, value in (("runs", runs), ("full epochs", full_epochs)):
        if value < 1:
            raise UsageError(f"{what} is {value}", do="Give 1 or more")
    memory = artifact.memory.to(device)
    data = memory.spec.data
    if (source_aligned.classes, source_aligned.shape) != (data.classes, data.shape):
        raise DataError("the source has other classes or another shape than the memory", do="Align the source first")
    kinds = ("memory", *(name for name in BASELINES if name in baselines))
    names = tuple(dict.fromkeys(networks)) or (recipe.network,)
    recipes = [PROTOCOLS.find(protocol).recipe(memory.spec, recipe, name) for name in names]
    for name in names:
        build(name, data, seed=seed)  # a name that is wrong is told before hours of training, not after
    test = source_aligned.split("test")
    trials = []
    for name, own in zip(names, recipes, strict=True):
        rates = dict.fromkeys(kinds, own.lr)
        for run in range(runs):
            run_seed = derive(seed, "evaluation run", run)
            trainings = _trainings(kinds, memory, source_aligned, own, seed=run_seed, full_epochs=full_epochs)
            for kind, training, batch in trainings:
                began = time.monotonic()
                asked = replace(training, lr=rates[kind])
                title = f"{name}, {kind}, run {run + 1} of {runs}"
                network, rates[kind] = _trained(asked, data, batch, run_seed, device, progress, title)
                reached = accuracy(network, test, data)
                trials.append(Trial(name, kind, reached, training.steps, time.monotonic() - began, rates[kind]))
    return Report(tuple(trials))


def _trained(
    recipe: TrainRecipe,
    data: DataSpec,
    batch: Batch,
    seed: int,
    device: torch.device,
    progress: Progress,
    title: str,
) -> tuple[nn.Module, float]:
    """A fresh network trained by `recipe`, and at which rate: its own, or that halved until training stays finite."""
    for halvings in range(_HALVINGS + 1):
        attempt = replace(recipe, lr=recipe.lr / 2**halvings)
        network = build(recipe.network, data, seed=seed).to(device)
        try:
            train(network, attempt, batch, progress, seed=seed, title=title)
        except DivergedError:
            if halvings == _HALVINGS:
                raise
            progress.note(f"{title}: diverged at rate {attempt.lr:.4g}, begun again at {attempt.lr / 2:.4g}")
        else:
            break
    return network, attempt.lr


def _trainings(
    kinds: tuple[str, ...], memory: Memory, source: Source, recipe: TrainRecipe, *, seed: int, full_epochs: int
) -> Iterator[tuple[str, TrainRecipe, Batch]]:
    """For each kind of training data: its name, the recipe with its own number of steps, and the minibatches."""
    comparison = Comparison(memory.spec, source, recipe, seed, full_epochs)
    for kind in kinds:
        if kind == "memory":
            yield kind, recipe, recalled_batches(memory, recipe.batch, seed, recipe.mixture)
        else:
            yield kind, *BASELINES[kind].training(comparison)


def require(report: Report, least: float) -> None:
    """Raise GateError where a network trained on the memory is, on average, below the accuracy `least` in [0, 1]."""
    for network in _networks(report):
        found = report.accuracy(network, "memory")
        if found is not None and found.mean < least:
            raise GateError(
                f"{printable(network)} reached an accuracy of {found.mean:.4f}, below {least:.4f}",
                do="Distil longer or with a larger budget, or lower `min_accuracy`",
            )


def to_json(report: Report) -> dict[str, Any]:
    """The keys `results` and `baselines` of `memcli eval --json`; a baseline that was not run is not there."""
    kinds = {trial.trained_on for trial in report.trials}
    return {
        "results": _figures(report, "memory"),
        "baselines": {kind: _figures(report, kind) for kind in BASELINES if kind in kinds},
    }


def _figures(report: Report, trained_on: str) -> list[dict[str, Any]]:
    found = ((network, report.accuracy(network, trained_on)) for network in _networks(report))
    return [
        {"network": network, "accuracy": stat.to_json(), **report.training(network, trained_on)}
        for network, stat in found
        if stat is not None
    ]


def _networks(report: Report) -> list[str]:
    """The networks of the report in the order of their first trials."""
    return list(dict.fromkeys(trial.network for trial in report.trials))
