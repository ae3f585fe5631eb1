"""How good a memory is: networks trained on it, and on real images for comparison, measured on the test split.

Nothing else measures on the test split.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from memcli.data.sources.base import Source
from memcli.data.spec import DataSpec
from memcli.errors import DataError, GateError, Interrupted, UsageError
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.memoryfile import Artifact
from memcli.jobs import budget
from memcli.jobs.baselines import BASELINES
from memcli.jobs.classnames import ClassNames
from memcli.jobs.device import resolve
from memcli.jobs.ending import computing
from memcli.jobs.figures import Report, Trial
from memcli.jobs.kept import KeptTrials
from memcli.jobs.opening import MemoryLike, loaded, open_aligned
from memcli.jobs.protocols import PROTOCOLS
from memcli.jobs.rounds import in_rounds
from memcli.jobs.trials import Asked, Trainings
from memcli.networks import build
from memcli.progress import Notes, Progress, Silent
from memcli.ranks import LostError, Ranks, joined
from memcli.stopping import Stopped, stoppable
from memcli.text import printable
from memcli.training.recipe import TrainRecipe

MOST_CLASSES = 200  # of a confusion matrix in JSON: a larger one has more numbers than anyone reads


def evaluate(
    memory: MemoryLike,
    data: Source | str | Path,
    *,
    networks: str | Sequence[str] = (),
    runs: int = 5,
    baselines: str | Iterable[str] = (),
    protocol: str | Iterable[str] = "own",
    full_epochs: int = 10,
    seed: int = 0,
    device: str | torch.device = "auto",
    download: bool = False,
    skip_damaged: int = 0,
    cache: str | Path | None = None,
    class_names: ClassNames | None = None,
    split: str = "test",
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    follow: Callable[[Report], None] | None = None,
    keep: str | Path | None = None,
) -> Report:
    """Train fresh networks on a memory and measure them on the test split of `data`, as `memcli eval` does.

    `memory`: what `load` gives, or a path; `data`: what `open_source` gives, or a text for it. The others, the
    baselines and the protocols are told under `measure`. `split` "all" measures on every image of `data`, and
    `skip_damaged` leaves out up to so many that cannot be read. `class_names` is a mapping, or a JSON file of one, from
    names of classes in `data` to those in the memory, where they differ. `follow` is given the report so far after each
    training, so that nothing is lost where a later one fails or is stopped. `keep`, such as the memory's path:
    what is measured is kept in a file beside it until all is, and the same evaluation goes on from there. Accuracies of
    the report are shares of 1. All processes of a `torch.distributed` group must call this alike: they share out the
    trainings, all have the report, and the first alone keeps and follows.

    Raises UsageError for impossible requests, MemoryFileError for a damaged file, LimitError where the file, or a
    training by it, is over `limits`, DataError where the data does not fit the memory, DivergedError where training
    stays not finite at lower rates too, Interrupted after SIGINT or SIGTERM.
    """
    artifact = _only(loaded(memory, limits))
    place = resolve(device) if isinstance(device, str) else device
    names = _names(networks, artifact.manifest.retrain)
    protocols = _protocols(protocol)
    for asked in _asked(artifact, ("memory",), names, protocols):
        budget.require_training([artifact.spec], artifact.spec.data, asked.recipe, limits, place, of_file=not networks)
    reading: dict[str, Any] = {"download": download, "skip_damaged": skip_damaged, "cache": cache, "split": split}
    reading |= {"class_names": class_names, "whole": bool(baselines), "progress": progress}
    source = open_aligned(data, artifact.spec.data, **reading)
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
        protocol=protocols,
        follow=follow,
        keep=keep,
    )


def _only(artifacts: dict[str, Artifact]) -> Artifact:
    """The one memory; UsageError where there are several."""
    if len(artifacts) != 1:
        raise UsageError(f"{len(artifacts)} memories were given", do="Give one; `retrain` takes several")
    return next(iter(artifacts.values()))


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
    protocol: str | Iterable[str] = "own",
    full_epochs: int = 10,
    follow: Callable[[Report], None] | None = None,
    keep: str | Path | None = None,
) -> Report:
    """Train `runs` fresh networks of every kind on the memory and on each baseline; measure the whole test split.

    `networks` defaults to the recipe's own, and `recipe` to the file's; what a protocol makes of it is said in its file
    (memcli.jobs.protocols). Of several protocols all that is trained by the first comes first, on the memory and on the
    baselines alike. Run i starts from the same initial weights whatever it is trained on. What is trained on the memory
    comes first in its protocol. A training of 1,000 steps or more on the memory is announced, with the time that it
    will take. Baselines, trained for as many steps as on the memory where their protocol says nothing else:

    - "random": ceil(ipc) real training images of every class, drawn anew in every run, by the same recipe. ipc is what
      the memory's floats would hold as raw images.
    - "bytes": likewise, as many as the memory's bytes would hold at one byte a pixel and channel.
    - "full": all training images by the same optimiser, rate, augmentation and batch, for `full_epochs` epochs.

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
    trainings = _asked(artifact, kinds, names, _protocols(protocol), own)
    for name in names:
        build(name, data, seed=seed)  # a name that is wrong is told before hours of training, not after
    counts = torch.bincount(source_aligned.split("test").labels, minlength=len(data.classes)).tolist()
    ranks, first = joined(), joined().rank == 0
    told = {"memory": artifact.sha256, "seed": seed, "full_epochs": full_epochs, **computing(device)}
    told["recipes"] = {f"{each.protocol} {each.network}": each.recipe.to_json() for each in trainings}
    order = [(each.protocol, each.trained_on, each.network) for each in trainings for _ in range(runs)]
    kept = KeptTrials(keep if first else None, order, counts, progress.note)
    known = ranks.said(json.dumps([trial.to_json() for trial in kept.load(told, source_aligned)]))
    trials = tuple(map(Trial.from_json, json.loads(known)))
    report = Report(trials, data.classes, tuple(counts), complete=False)
    rates = {trial.kind: trial.lr for trial in trials}
    work = Trainings(memory, source_aligned, device, progress if first else Notes(), full_epochs, rates)
    return _measured(work, trainings, runs, seed, report, kept, follow if first else None, ranks)


def _measured(
    work: Trainings,
    trainings: list[Asked],
    runs: int,
    seed: int,
    report: Report,
    kept: KeptTrials,
    follow: Callable[[Report], None] | None,
    ranks: Ranks,
) -> Report:
    """`report` with what all trainings reached that it lacks; `follow` is given what there is after each."""
    everything, known = list(product(trainings, range(runs))), len(report.trials)
    try:
        with stoppable(work.progress):
            for asked in trainings[known // runs :] if ranks.rank == 0 else ():
                work.tell_long(asked, runs)
            for title, trial in in_rounds(work, everything[known:], runs, seed, ranks):
                if ranks.rank == 0:
                    work.progress.note(f"{title}: {100 * trial.accuracy:.2f} % of the test images")
                report = replace(report, trials=(*report.trials, trial))
                kept.add(trial)
                if follow is not None:
                    follow(report)
    except (Stopped, LostError) as ended:
        kept_in = kept.stopped()
        if isinstance(ended, LostError) and ranks.rank:
            raise
        what = "stopped" if isinstance(ended, Stopped) else ended.what
        raise Interrupted(
            f"{what} after {len(report.trials)} of {len(everything)} trainings{kept_in}",
            do="Give the same command again, or fewer `runs` for less time",
        ) from ended
    kept.remove()
    return replace(report, complete=True)


def _names(networks: str | Sequence[str], own: TrainRecipe) -> tuple[str, ...]:
    """The networks that were asked for, each once; none: the one of the file."""
    return tuple(dict.fromkeys((networks,) if isinstance(networks, str) else networks)) or (own.network,)


def _protocols(asked: str | Iterable[str]) -> tuple[str, ...]:
    """The protocols that were asked for, each once; UsageError where there is no such protocol, or none is named."""
    names = tuple(dict.fromkeys((asked,) if isinstance(asked, str) else asked))
    for name in names:
        PROTOCOLS.find(name)
    if not names:
        raise UsageError("no protocol is named", do=f"Choose `protocol` from {', '.join(PROTOCOLS)}")
    return names


def _asked(
    artifact: Artifact,
    kinds: Sequence[str],
    names: Sequence[str],
    protocols: Sequence[str],
    own: TrainRecipe | None = None,
) -> list[Asked]:
    """Every kind of training, in the order in which they are done."""
    own = own or artifact.manifest.retrain
    return [
        Asked(protocol, kind, name, PROTOCOLS[protocol].recipe(artifact.spec, own, name))
        for protocol, kind, name in product(protocols, kinds, names)
    ]


def _require_possible(source: Source, data: DataSpec, baselines: frozenset[str], numbers: dict[str, int]) -> None:
    for name in sorted(baselines):
        BASELINES.find(name)
    for what, value in numbers.items():
        if value < 1:
            raise UsageError(f"{what} is {value}", do="Give 1 or more")
    if (source.classes, source.shape) != (data.classes, data.shape):
        raise DataError("the source has other classes or another shape than the memory", do="Align the source first")


def require(report: Report, least: float) -> None:
    """Raise GateError where a network trained on the memory by a protocol is on average below `least`, in [0, 1]."""
    for protocol, network in product(report.protocols, report.networks):
        found = report.accuracy(network, "memory", protocol)
        if found is not None and found.mean < least:
            by = f" by {printable(protocol)}" if len(report.protocols) > 1 else ""
            raise GateError(
                f"{printable(network)} reached an accuracy of {found.mean:.4f}{by}, below {least:.4f}",
                do="Distil longer or with a larger budget, or lower `min_accuracy`",
            )


def to_json(report: Report) -> dict[str, Any]:
    """The figures of `memcli eval --json`; a baseline that was not run is not there."""
    run = {trial.trained_on for trial in report.trials}
    baselines = [kind for kind in BASELINES if kind in run]
    rows = {kind: _figures(report, kind) for kind in ("memory", *baselines)}
    means = {
        protocol: {
            kind: {row["network"]: row["accuracy"]["mean"] for row in figures if row["protocol"] == protocol}
            for kind, figures in rows.items()
        }
        for protocol in report.protocols
    }
    few = len(report.classes) <= MOST_CLASSES
    return {
        "results": [
            {
                **row,
                "per_class": report.per_class(*(asked := (row["network"], "memory", row["protocol"]))),
                "confusion": report.confusion(*asked) if few else None,
            }
            for row in rows["memory"]
        ],
        "baselines": {kind: rows[kind] for kind in baselines},
        "accuracy": means[report.protocols[0]],
        "protocols": means,
        "majority": report.majority,
        "classes": list(report.classes),
        "test_images": list(report.test_images),
        "complete": report.complete,
    }


def _figures(report: Report, trained_on: str) -> list[dict[str, Any]]:
    """A row for each protocol and network that was trained on it."""
    asked = product(report.protocols, report.networks)
    found = ((protocol, network, report.accuracy(network, trained_on, protocol)) for protocol, network in asked)
    return [
        {
            "network": network,
            "protocol": protocol,
            "accuracy": stat.to_json(),
            **report.training(network, trained_on, protocol),
        }
        for protocol, network, stat in found
        if stat is not None
    ]
