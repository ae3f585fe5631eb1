"""From a source of real images to what a memory file holds."""

import json
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from memcli import seeds
from memcli.data.sources.base import Source
from memcli.distillation.beside import beside
from memcli.distillation.loop import Distillation, follow
from memcli.distillation.recipe import Recipe
from memcli.distillation.schedule import CLOSING, Schedule, affordable, reserved
from memcli.distillation.settings import DEFAULTS, RunSettings
from memcli.engine import precision
from memcli.files.manifest import Manifest, provenance
from memcli.files.memoryfile import Artifact, stored
from memcli.files.runfolder import RunFolder
from memcli.memory.spec import MemorySpec
from memcli.progress import Callback, Progress, Silent
from memcli.stopping import resumable, whole
from memcli.text import printable
from memcli.training import choose
from memcli.training.recipe import TrainRecipe

_MOST_NAMED = 20  # images that were left out, in a file's provenance


@dataclass(frozen=True)
class Distilled:
    """A finished distillation."""

    artifact: Artifact
    validation: float  # accuracy, in [0, 1], of a network retrained by the stored recipe
    steps: int
    seconds: float
    diverged: bool  # the run was given up, and this is the best memory before that


def learn(
    source: Source,
    spec: MemorySpec,
    recipe: Recipe,
    settings: RunSettings = DEFAULTS,
    *,
    licence: str | None = None,
    progress: Progress | None = None,
    callback: Callback | None = None,
    run: RunFolder | None = None,
    began: float | None = None,
) -> Distilled:
    """Learn a memory of `source`'s training images.

    It takes `steps` outer steps, or what is left of `time_budget` seconds since `began`, by time.monotonic (default:
    now), whichever ends first, shared out among the recipe's stages; with neither, the recipe's steps. As much of the
    time is kept for the choice of how to retrain as that is measured to need. The memory that is best on the validation
    part, cut from train, is kept. With a run folder, the state is saved at every look at the validation part, and a run
    that the folder holds is continued. `licence` is the data's, as text for the file's provenance.

    `compile` says whether training steps are compiled; None: where the run is long enough to gain by it and the
    machine can. Compiled steps equal the others to rounding. Raises UsageError where they must be and cannot.
    `bfloat16` says whether their convolutions are done in that type, with a relative error of some per cent in the
    gradient, which is far below its noise; None: where steps are compiled and the processor is quicker by it.
    Where time alone ends the run, it learns with slower steps until another process has compiled them (see `beside`).

    With several ranks each learns, and all return the same; `run` is the first one's. A signal to one of them stops all
    after the present step or look. Raises Interrupted, after saving, where Stopped is raised.
    """
    began = time.monotonic() if began is None else began
    progress = progress or Silent()
    alone = settings.ranks.size == 1
    with (
        nullcontext() if alone else whole(),
        beside(spec, recipe, settings, progress) as (chosen, other),
    ):
        work = Distillation(source, spec, recipe, chosen, progress, other, goes_on=run is not None and run.learns)
        if work.go_on(run):
            began -= work.loop.elapsed
        else:
            work.loop.entered_at = time.monotonic() - began
        ends, pace, retrain = None, choose.Pace(0.0, 0.0), recipe.retrain
        if settings.time_budget is not None:
            pace = choose.pace(stored(work.loop.best.memory), recipe.retrain, work.validation)
            ends = max(settings.time_budget - CLOSING, 0.0)
            retrain = affordable(retrain, pace, ends)
        schedule = Schedule.of(recipe, settings.steps, None if ends is None else ends - reserved(pace, recipe, ends))
        diverged = follow(work, schedule, began, progress, run, callback)
    with resumable("stopped while choosing how to retrain"):
        retrain, reached = _choice(work, retrain, progress, None if ends is None else began + ends, pace)
    origin = provenance(source.spec.name, source.fingerprint, licence, torch=torch.__version__, numpy=numpy.__version__)
    artifact = _artifact(work, retrain, reached, origin | _losses(source))
    return Distilled(artifact, reached, work.loop.step, time.monotonic() - began, diverged)


def _choice(
    work: Distillation, first: TrainRecipe, progress: Progress, ends: float | None, pace: choose.Pace
) -> tuple[TrainRecipe, float]:
    """How networks are trained on the best memory, and the accuracy of one: the first rank chooses for all.

    It begins from the recipe `first`.
    """
    best, ranks, told = work.loop.best, work.settings.ranks, ""
    if ranks.rank == 0:
        retrain, reached = choose.choose(
            stored(best.memory),
            work.recipe.followed(first, best.lr),
            work.validation,
            seeds.derive(work.settings.seed, "retrain"),
            progress=progress,
            ends=ends,
            test_seconds=pace.test,
        )
        told = json.dumps([retrain.to_json(), reached])
    said, reached = json.loads(ranks.said(told))
    return TrainRecipe.from_json(said), reached


def _artifact(work: Distillation, retrain: TrainRecipe, reached: float, origin: dict[str, Any]) -> Artifact:
    """The best memory of `work`, rounded as it is stored, with the recipe and the accuracy of its retraining."""
    settings = work.settings
    origin = {**origin, "precision": precision(settings.device, bool(settings.bfloat16))}
    results = {"validation": {"accuracy": reached, "images": len(work.validation)}}
    how = {**work.recipe.to_json(), "steps": work.loop.step}
    how |= {"replicas": settings.replicas} if settings.replicas > 1 else {}
    manifest = Manifest(work.spec, how, settings.seed, retrain, origin, results)
    return Artifact(stored(work.loop.best.memory).to(torch.device("cpu")), manifest)


def _losses(source: Source) -> dict[str, Any]:
    """For the provenance: how many images could not be read and were left out, and the names of the first."""
    names = [printable(name) for name in source.left_out()]
    return {"left_out": {"images": len(names), "first": ", ".join(names[:_MOST_NAMED])}} if names else {}
