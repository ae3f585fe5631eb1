"""How good a memory is: networks trained on it, and on real images for comparison, measured on the test split.

Nothing else measures on the test split.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from memcli.data.images import LabelledImages
from memcli.data.sources.base import Source
from memcli.data.spec import DataSpec
from memcli.errors import DataError, DivergedError, GateError, Interrupted, UsageError
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.memoryfile import Artifact
from memcli.jobs import budget
from memcli.jobs.baselines import BASELINES
from memcli.jobs.baselines.base import Comparison
from memcli.jobs.classnames import ClassNames
from memcli.jobs.device import resolve
from memcli.jobs.figures import Mistake, Report, Trial
from memcli.jobs.opening import MemoryLike, loaded, open_aligned
from memcli.jobs.protocols import PROTOCOLS
from memcli.memory.memory import Memory
from memcli.networks import build
from memcli.progress import Progress, Silent
from memcli.seeds import derive
from memcli.stopping import Stopped, stoppable
from memcli.text import printable
from memcli.training.loop import Batch, predictions, recalled_batches, train
from memcli.training.recipe import TrainRecipe

MOST_CLASSES = 200  # of a confusion matrix in JSON: a larger one has more numbers than anyone reads
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
    class_names: ClassNames | None = None,
    split: str = "test",
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    follow: Callable[[Report], None] | None = None,
) -> Report:
    """Train fresh networks on a memory and measure them on the test split of `data`, as `memcli eval` does.

    `memory`: what `load` gives, or a path; `data`: what `open_source` gives, or a text for it. The others, the
    baselines and the protocols are told under `measure`. `split` "all" measures on every image of `data`, and
    `skip_damaged` leaves out up to so many that cannot be read. `class_names` is a mapping, or a JSON file of one, from
    names of classes in `data` to those in the memory, where they differ. `follow` is given the report so far after each
    training, so that nothing is lost where a later one fails or is stopped. Accuracies of the report are shares of 1.

    Raises UsageError for impossible requests, MemoryFileError for a damaged file, LimitError where the file, or a
    training by it, is over `limits`, DataError where the data does not fit the memory, DivergedError where training
    stays not finite at lower rates too, Interrupted after SIGINT or SIGTERM.
    """
    artifacts = loaded(memory, limits)
    if len(artifacts) != 1:
        raise UsageError(f"{len(artifacts)} memories were given", do="Give one; `retrain` takes several")
    (artifact,) = artifacts.values()
    place = resolve(device) if isinstance(device, str) else device
    names = _names(networks, artifact.manifest.retrain)
    for recipe in _recipes(artifact, names, protocol).values():
        budget.require_training([artifact.spec], artifact.spec.data, recipe, limits, place, of_file=not networks)
    reading = {"download": download, "skip_damaged": skip_damaged, "class_names": class_names, "split": split}
    source = open_aligned(data, artifact.spec.data, whole=bool(baselines), progress=progress, **reading)  # type: ignore[arg-type]
    return measure(
        artifact,
        source,
        networks=names,
        runs=runs,
        baselines=frozenset((baselines,) if isinstance(baselines, str) else baselines),
        seed=seed,
        device=place,
        progress=progress,
        full_epochs=full_epochs,
        protocol=protocol,
        follow=follow,
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
    follow: Callable[[Report], None] | None = None,
) -> Report:
    """Train `runs` fresh networks of every kind on the memory and on each baseline; measure the whole test split.

    `networks` defaults to the recipe's own, and `recipe` to the file's; what `protocol` makes of it is said in its file
    (memcli.jobs.protocols). Run i starts from the same initial weights whatever it is trained on. What is trained on
    the memory comes first. Baselines:

    - "random": ceil(ipc) real training images of every class, drawn anew in every run, by the same recipe. ipc is what
      the memory's floats would hold as raw images.
    - "bytes": likewise, as many as the memory's bytes would hold at one byte a pixel and channel.
    - "full": all training images by the same optimiser, rate and batch, for `full_epochs` epochs.

    A training that diverges is begun again at half the rate, as are the later runs of that network on that data, with a
    note.

    Raises UsageError for impossible requests, DataError where the source was not aligned to the memory, and what
    training raises.
    """
    own, device, progress = recipe or artifact.manifest.retrain, device or torch.device("cpu"), progress or Silent()
    memory = artifact.memory.to(device)
    data = memory.spec.data
    _require_possible(source_aligned, data, baselines, {"runs": runs, "full epochs": full_epochs})
    kinds = ("memory", *(name for name in BASELINES if name in baselines))
    names = _names(networks, own)
    recipes = _recipes(artifact, names, protocol, own)
    for name in names:
        build(name, data, seed=seed)  # a name that is wrong is told before hours of training, not after
    counts = torch.bincount(source_aligned.split("test").labels, minlength=len(data.classes)).tolist()
    report, total = Report((), data.classes, tuple(counts), complete=False), len(kinds) * len(names) * runs
    work = _Trainings(memory, source_aligned, device, progress, full_epochs)
    try:
        with stoppable(progress):
            for kind, name, run in product(kinds, names, range(runs)):
                title = f"{name}, {kind}, run {run + 1} of {runs}"
                trial = work.trial(name, kind, recipes[name], derive(seed, "evaluation run", run), title)
                progress.note(f"{title}: {100 * trial.accuracy:.2f} % of the test images")
                report = replace(report, trials=(*report.trials, trial))
                if follow is not None:
                    follow(report)
    except Stopped as stopped:
        raise Interrupted(
            f"stopped after {len(report.trials)} of {total} trainings",
            do="Give the same command again, or fewer `runs` for less time",
        ) from stopped
    return replace(report, complete=True)


def _names(networks: str | Sequence[str], own: TrainRecipe) -> tuple[str, ...]:
    """The networks that were asked for, each once; none: the one of the file."""
    return tuple(dict.fromkeys((networks,) if isinstance(networks, str) else networks)) or (own.network,)


def _recipes(
    artifact: Artifact, names: Sequence[str], protocol: str, own: TrainRecipe | None = None
) -> dict[str, TrainRecipe]:
    """How each network is trained."""
    kind, own = PROTOCOLS.find(protocol), own or artifact.manifest.retrain
    return {name: kind.recipe(artifact.spec, own, name) for name in names}


def _require_possible(source: Source, data: DataSpec, baselines: frozenset[str], numbers: dict[str, int]) -> None:
    for name in sorted(baselines):
        BASELINES.find(name)
    for what, value in numbers.items():
        if value < 1:
            raise UsageError(f"{what} is {value}", do="Give 1 or more")
    if (source.classes, source.shape) != (data.classes, data.shape):
        raise DataError("the source has other classes or another shape than the memory", do="Align the source first")


@dataclass(frozen=True, eq=False)
class _Trainings:
    """What all trainings of an evaluation share."""

    memory: Memory  # on the device
    source: Source  # aligned to the memory
    device: torch.device
    progress: Progress
    full_epochs: int
    rates: dict[tuple[str, str], float] = field(default_factory=dict)  # by network and kind, the last that worked

    def trial(self, name: str, kind: str, recipe: TrainRecipe, seed: int, title: str) -> Trial:
        """The network `name`, trained by `recipe` on the memory or the baseline `kind`, and measured."""
        began = time.monotonic()
        if kind == "memory":
            training, batch = recipe, recalled_batches(self.memory, recipe.batch, seed, recipe.mixture)
        else:
            given = Comparison(self.memory.spec, self.source, recipe, seed, self.full_epochs)
            training, batch = BASELINES[kind].training(given)
        rate = self.rates.get((name, kind), training.lr)
        network, rate = self._trained(replace(training, lr=rate), batch, seed, title)
        self.rates[name, kind] = rate
        found, mistakes = _tested(network, self.source.split("test"), self.memory.spec.data)
        return Trial(name, kind, found, training.steps, time.monotonic() - began, rate, mistakes)

    def _trained(self, recipe: TrainRecipe, batch: Batch, seed: int, title: str) -> tuple[nn.Module, float]:
        """A fresh network trained by `recipe`, at its rate or that halved until training stays finite; and the rate."""
        for halvings in range(_HALVINGS + 1):
            attempt = replace(recipe, lr=recipe.lr / 2**halvings)
            network = build(recipe.network, self.memory.spec.data, seed=seed).to(self.device)
            try:
                train(network, attempt, batch, self.progress, seed=seed, title=title)
            except DivergedError:
                if halvings == _HALVINGS:
                    raise
                told = f"diverged at rate {attempt.lr:.4g}, begun again at {attempt.lr / 2:.4g}"
                self.progress.note(f"{title}: {told}")
            else:
                break
        return network, attempt.lr


def _tested(network: nn.Module, test: LabelledImages, data: DataSpec) -> tuple[float, tuple[Mistake, ...]]:
    """The accuracy of `network`, in [0, 1], and the mistakes that it makes."""
    answers = predictions(network, test, data)
    wrong = answers != test.labels
    pairs, counts = torch.stack([test.labels[wrong], answers[wrong]], 1).unique(dim=0, return_counts=True)
    mistakes = (
        Mistake(label, answer, images) for (label, answer), images in zip(pairs.tolist(), counts.tolist(), strict=True)
    )
    return (~wrong).double().mean().item(), tuple(mistakes)


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
    """The figures of `memcli eval --json`; a baseline that was not run is not there."""
    kinds = {trial.trained_on for trial in report.trials}
    return {
        "results": [
            {
                **row,
                "per_class": report.per_class(row["network"]),
                "confusion": report.confusion(row["network"]) if len(report.classes) <= MOST_CLASSES else None,
            }
            for row in _figures(report, "memory")
        ],
        "baselines": {kind: _figures(report, kind) for kind in BASELINES if kind in kinds},
        "accuracy": {
            kind: {row["network"]: row["accuracy"]["mean"] for row in _figures(report, kind)}
            for kind in ("memory", *BASELINES)
            if kind in kinds
        },
        "majority": report.majority,
        "classes": list(report.classes),
        "test_images": list(report.test_images),
        "complete": report.complete,
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
