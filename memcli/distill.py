"""Distillation: from a source of real images to what a memory file holds."""

import math
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy
import torch

from memcli import __version__, seeds
from memcli.artifact.files import Artifact, stored
from memcli.artifact.manifest import Manifest
from memcli.errors import DivergedError, Interrupted
from memcli.memory import Memory
from memcli.networks import build
from memcli.objectives import RealImages, UnrolledObjective
from memcli.outer import OuterLoop
from memcli.progress import Progress, Silent
from memcli.recipe import Recipe
from memcli.runfolder import RunFolder
from memcli.sources.base import LabelledImages, Source, holdout
from memcli.spec import MemorySpec, TrainRecipe
from memcli.starts import start
from memcli.training import accuracy, recalled_batches, train

_CHECK_IMAGES = 2_000  # validation images looked at, at most: enough to tell memories apart, and quick
_LOOP_SHARE = 0.9  # of a time budget; what is left goes to choosing how networks are retrained
_RETRAIN_LENGTHS = (1, 2, 4)  # multiples of the recipe's retraining steps among which validation chooses


@dataclass(frozen=True)
class Distilled:
    """A finished distillation."""

    artifact: Artifact
    validation: float  # accuracy, in [0, 1], of a network retrained by the stored recipe
    steps: int
    seconds: float
    diverged: bool  # the run was given up, and this is the best memory before that


def distill(
    source: Source,
    spec: MemorySpec,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    steps: int | None = None,
    time_budget: float | None = None,
    licence: str | None = None,
    progress: Progress | None = None,
    run: RunFolder | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> Distilled:
    """Learn a memory of `source`'s training images.

    It takes `steps` outer steps or about `time_budget` seconds, whichever ends first; with neither, the recipe's
    steps. The memory that is best on the validation part, cut from train, is kept. With a run folder, the state is
    saved at every look at the validation part, and a run that the folder holds is continued. `licence` is the data's,
    as text for the file's provenance.

    Raises Interrupted, after saving, where `interrupted()` turns true.
    """
    began = time.monotonic()
    progress, device = progress or Silent(), device or torch.device("cpu")
    steps = _outer_steps(recipe, steps, time_budget)
    training_part, validation = holdout(source.split("train"), len(spec.data.classes), seed, recipe.holdout)
    shuffled = torch.randperm(len(validation), generator=seeds.generator(seed, "validation order"))
    looked_at = validation.subset(shuffled[:_CHECK_IMAGES])
    objective = UnrolledObjective(recipe.objective, spec, device)
    real = RealImages(training_part, spec.data, device)
    loop = OuterLoop(start(recipe.start, spec, training_part, seed).to(device), recipe.objective.lr, recipe.outer)
    if run is not None and (saved := run.latest()) is not None:
        loop.restore(saved.tensors, saved.counters)
        began -= loop.elapsed

    def save() -> None:
        if run is not None:
            run.save(loop.step, loop.tensors(), loop.counters())

    def look() -> None:
        found = _check(stored(loop.average.memory), loop.average.lr, recipe, looked_at, seed, loop.step)
        loop.consider(found)
        progress.update(done(), validation=found, best=loop.best_accuracy)
        if run is not None:
            run.metrics(loop.step, loss=loop.loss, validation=found, lr=loop.average.lr, seconds=loop.elapsed)
        save()

    def done() -> float:
        return loop.step if steps is not None else loop.elapsed

    loop_budget = None if time_budget is None else _LOOP_SHARE * time_budget
    progress.begin("distilling", steps if steps is not None else loop_budget, "steps" if steps is not None else "s")
    diverged, looked = False, loop.step if loop.step else -1
    while True:
        loop.elapsed = time.monotonic() - began
        finished = max(loop.step / steps if steps else 0.0, loop.elapsed / loop_budget if loop_budget else 0.0)
        if looked != loop.step and (loop.step % recipe.check_every == 0 or finished >= 1):
            look()
            looked = loop.step
        if finished >= 1:
            break
        if interrupted():
            save()
            raise Interrupted(f"stopped at step {loop.step}", do="Give the same command with --resume to continue")
        try:
            loop.move(objective.step(loop.here.memory.rounded(), loop.here.lr, real, seed, loop.draw), finished)
        except DivergedError as error:
            progress.note(str(error))
            diverged = True
            break
        progress.update(done(), loss=loop.loss)
    progress.end()

    memory = stored(loop.best.memory)
    ends = None if time_budget is None else began + time_budget
    retrain, reached = _choose_retraining(
        memory,
        replace(recipe.retrain, lr=recipe.retrain.lr * loop.best.lr / recipe.objective.lr),
        looked_at,
        seed,
        progress,
        ends,
    )
    manifest = Manifest(
        spec=spec,
        recipe=replace(recipe, steps=max(loop.step, 1)).to_json(),
        seed=seed,
        retrain=retrain,
        provenance=_provenance(source, licence),
        results={"validation": {"accuracy": reached, "images": len(looked_at)}},
    )
    artifact = Artifact(memory.to(torch.device("cpu")), manifest)
    return Distilled(artifact, reached, loop.step, time.monotonic() - began, diverged)


def estimate(
    source: Source,
    spec: MemorySpec,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    steps: int | None = None,
    time_budget: float | None = None,
) -> dict[str, float]:
    """What `distill` would need: `seconds` in all, `seconds_per_step`, `peak_bytes`, measured in two steps."""
    device = device or torch.device("cpu")
    training_part, _ = holdout(source.split("train"), len(spec.data.classes), seed, recipe.holdout)
    memory = start(recipe.start, spec, training_part, seed).to(device)
    objective = UnrolledObjective(recipe.objective, spec, device)
    real = RealImages(training_part, spec.data, device)
    # The first step also loads and chooses kernels, and is not timed.
    objective.step(memory, recipe.objective.lr, real, seed, 0).loss.item()
    began = time.monotonic()
    objective.step(memory, recipe.objective.lr, real, seed, 1).loss.item()
    per_step = time.monotonic() - began
    steps = _outer_steps(recipe, steps, time_budget)
    seconds = min(per_step * steps if steps else math.inf, time_budget or math.inf)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts it in KiB
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else resident
    return {"seconds": seconds, "seconds_per_step": per_step, "peak_bytes": peak}


def _outer_steps(recipe: Recipe, steps: int | None, time_budget: float | None) -> int | None:
    """The outer steps to make: those asked for; the recipe's where no time is given either; None: until time is up."""
    return recipe.steps if steps is None and time_budget is None else steps


def _check(memory: Memory, lr: float, recipe: Recipe, validation: LabelledImages, seed: int, step: int) -> float:
    """Mean validation accuracy of fresh inner networks, trained as the objective trains them."""
    inner, classes = recipe.objective, len(memory.spec.data.classes)
    training = TrainRecipe(inner.network, inner.steps, inner.per_class * classes, lr, inner.momentum)
    found = [
        _retrained_accuracy(memory, training, validation, seeds.derive(seed, "check", step, rank))
        for rank in range(recipe.check_networks)
    ]
    return sum(found) / len(found)


def _choose_retraining(
    memory: Memory,
    recipe: TrainRecipe,
    validation: LabelledImages,
    seed: int,
    progress: Progress,
    ends: float | None,
) -> tuple[TrainRecipe, float]:
    """The length of retraining that is best on validation, of a few multiples of the recipe's; and its accuracy.

    The shortest is always tried; others only where the clock (time.monotonic) would not pass `ends`.
    """
    progress.begin("choosing how long to retrain", len(_RETRAIN_LENGTHS), "lengths")
    tried: list[tuple[float, TrainRecipe]] = []
    per_step = 0.0
    for number, length in enumerate(_RETRAIN_LENGTHS):
        candidate = replace(recipe, steps=recipe.steps * length)
        began = time.monotonic()
        if tried and ends is not None and began + per_step * candidate.steps > ends:
            break
        tried.append((_retrained_accuracy(memory, candidate, validation, seeds.derive(seed, "retrain")), candidate))
        per_step = (time.monotonic() - began) / candidate.steps
        progress.update(number + 1, validation=tried[-1][0])
    progress.end()
    reached, chosen = max(tried, key=lambda pair: pair[0])
    return chosen, reached


def _retrained_accuracy(memory: Memory, recipe: TrainRecipe, validation: LabelledImages, seed: int) -> float:
    """Validation accuracy of one fresh network trained on `memory` by `recipe`; 0 where that training diverges."""
    network = build(recipe.network, memory.spec.data, seed=seed).to(memory.bases.device)
    try:
        train(network, recipe, recalled_batches(memory, recipe.batch, seed), Silent())
    except DivergedError:
        return 0.0
    return accuracy(network, validation, memory.spec.data)


def _provenance(source: Source, licence: str | None) -> dict[str, Any]:
    versions = {
        "memcli": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }
    return {"source": source.spec.name, "fingerprint": source.fingerprint, "licence": licence, "versions": versions}
