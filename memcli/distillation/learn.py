"""From a source of real images to what a memory file holds; and what that would take."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy
import torch

from memcli import seeds
from memcli.data.sources.base import Source
from memcli.distillation.loop import Distillation, follow
from memcli.distillation.recipe import Recipe
from memcli.distillation.schedule import LEARNING_SHARE, Schedule
from memcli.distillation.settings import DEFAULTS, RunSettings
from memcli.distillation.speed import decided
from memcli.engine import precision
from memcli.files.manifest import Manifest, provenance
from memcli.files.memoryfile import Artifact, stored
from memcli.files.runfolder import RunFolder
from memcli.machine import peak_memory
from memcli.memory.spec import MemorySpec
from memcli.progress import Callback, Progress, Silent
from memcli.training import choose


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
    interrupted: Callable[[], bool] = lambda: False,
) -> Distilled:
    """Learn a memory of `source`'s training images.

    It takes `steps` outer steps or about `time_budget` seconds, whichever ends first, shared out among the recipe's
    stages; with neither, the recipe's steps. The memory that is best on the validation part, cut from train, is kept.
    With a run folder, the state is saved at every look at the validation part, and a run that the folder holds is
    continued. `licence` is the data's, as text for the file's provenance.

    `compile` says whether training steps are compiled; None: where the run is long enough to gain by it and the
    machine can. Compiled steps equal the others to rounding. Raises UsageError where they must be and cannot.
    `bfloat16` says whether their convolutions are done in that type, with a relative error of some per cent in the
    gradient, which is far below its noise; None: where steps are compiled and the processor is quicker by it.

    Raises Interrupted, after saving, where `interrupted()` turns true.
    """
    began = time.monotonic()
    progress = progress or Silent()
    settings = decided(settings, spec, recipe, progress)
    time_budget = settings.time_budget
    work = Distillation(source, spec, recipe, settings, progress, interrupted)
    if run is not None and (saved := run.latest()) is not None:
        work.restore(saved)
        began -= work.loop.elapsed
    schedule = Schedule.of(recipe, settings.steps, None if time_budget is None else LEARNING_SHARE * time_budget)
    diverged = follow(work, schedule, began, progress, run, interrupted, callback)
    best = work.loop.best
    retrain, reached = choose.choose(
        stored(best.memory),
        recipe.followed(recipe.retrain, best.lr),
        work.validation,
        seeds.derive(settings.seed, "retrain"),
        progress=progress,
        ends=None if time_budget is None else began + time_budget,
        interrupted=interrupted,
    )
    told = provenance(source.spec.name, source.fingerprint, licence, torch=torch.__version__, numpy=numpy.__version__)
    computed = precision(settings.device, bool(settings.bfloat16))
    results = {"validation": {"accuracy": reached, "images": len(work.validation)}}
    how = {**recipe.to_json(), "steps": work.loop.step}
    manifest = Manifest(spec, how, settings.seed, retrain, {**told, "precision": computed}, results)
    artifact = Artifact(stored(best.memory).to(torch.device("cpu")), manifest)
    return Distilled(artifact, reached, work.loop.step, time.monotonic() - began, diverged)


def estimate(source: Source, spec: MemorySpec, recipe: Recipe, settings: RunSettings = DEFAULTS) -> dict[str, float]:
    """What `learn` would need: `seconds` in all, `seconds_per_step`, `peak_bytes`, measured in two steps a stage.

    The steps are those that `learn` would make: compiled and in bfloat16 where it would.
    """
    work = Distillation(source, spec, recipe, decided(settings, spec, recipe, Silent()))
    steps, time_budget, device = settings.steps, settings.time_budget, settings.device
    total = 0.0
    for stage in recipe.stages:
        work.move(0.0)  # the first step also loads and chooses kernels, and is not timed
        began = time.monotonic()
        work.move(0.0)
        total += (time.monotonic() - began) * stage.steps
        work.enter_next()
    per_step = total / recipe.steps
    wanted = recipe.steps if steps is None and time_budget is None else steps
    seconds = min(per_step * wanted if wanted else math.inf, time_budget or math.inf)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()
    return {"seconds": seconds, "seconds_per_step": per_step, "peak_bytes": peak}
