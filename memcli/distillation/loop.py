"""Distillation: from a source of real images to what a memory file holds."""

import math
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch.utils.flop_counter import FlopCounterMode

from memcli import __version__, seeds
from memcli.data.real import RealImages
from memcli.data.sources.base import Source, holdout
from memcli.distillation.outer import OuterLoop
from memcli.distillation.recipe import Recipe, Stage
from memcli.distillation.schedule import Schedule
from memcli.engine import precision, quick_in_bfloat16, why_not_compiled
from memcli.errors import DivergedError, Interrupted
from memcli.files.manifest import Manifest
from memcli.files.memoryfile import Artifact, stored
from memcli.files.runfolder import Checkpoint, RunFolder
from memcli.memory.spec import MemorySpec
from memcli.memory.start import start
from memcli.networks import build
from memcli.progress import Callback, Progress, Silent
from memcli.training import choose

_LOOP_SHARE = 0.9  # of a time budget; what is left goes to choosing how networks are retrained
_LEAST_COMPILED = 180.0  # seconds that a run takes for compiling, which takes 20 to 40, to pay
_PASSES = 12  # through the network for each recalled image
_FLOPS = {"cpu": 5e10, "cuda": 1e13}  # a second, not compiled: two cores, an H200 (docs/performance.md, log.md)
_OBJECTIVE = "objective."  # before the names of an objective's tensors in a checkpoint


@dataclass(frozen=True)
class Distilled:
    """A finished distillation."""

    artifact: Artifact
    validation: float  # accuracy, in [0, 1], of a network retrained by the stored recipe
    steps: int
    seconds: float
    diverged: bool  # the run was given up, and this is the best memory before that


class Distillation:
    """A distillation on its way: its images, its memory, and the stage that it is in."""

    def __init__(
        self,
        source: Source,
        spec: MemorySpec,
        recipe: Recipe,
        *,
        seed: int,
        device: torch.device,
        compile: bool = False,
        bfloat16: bool = False,
    ) -> None:
        self.spec, self.recipe, self.seed, self.device = spec, recipe, seed, device
        self._compile, self._bfloat16 = compile, bfloat16
        training, validation = holdout(source.split("train"), len(spec.data.classes), seed, recipe.holdout)
        shuffled = torch.randperm(len(validation), generator=seeds.generator(seed, "validation order"))
        self.validation = validation.subset(shuffled[: recipe.check_images])
        self.real = RealImages(training, spec.data, device)
        begin = start(recipe.start, spec, training, seed).to(device)
        self.loop = OuterLoop(begin, recipe.lr, recipe.stages[0].outer)
        self._take_objective()

    def move(self, finished: float) -> None:
        """One outer step; `finished` is the share of the stage that is over. Raises DivergedError."""
        loop = self.loop
        loop.move(
            self.objective.step(loop.here.memory.rounded(), loop.here.lr, self.real, self.seed, loop.draw), finished
        )

    def look(self) -> float:
        """Measure the memory, keep it if it is the best so far, and return its accuracy."""
        loop = self.loop
        found = self._check()
        loop.consider(found)
        return found

    def enter_next(self) -> bool:
        """Go on to the next stage; False where this was the last."""
        if self.loop.stage + 1 == len(self.recipe.stages):
            return False
        self.loop.enter(self.recipe.stages[self.loop.stage + 1].outer)
        self._take_objective()
        return True

    def save(self, run: RunFolder) -> None:
        remembered = {_OBJECTIVE + name: tensor for name, tensor in self.objective.tensors().items()}
        run.save(self.loop.step, {**self.loop.tensors(), **remembered}, self.loop.counters())

    def restore(self, saved: Checkpoint) -> None:
        self.loop.restore(
            {name: tensor for name, tensor in saved.tensors.items() if not name.startswith(_OBJECTIVE)},
            saved.counters,
            self.recipe.stages[saved.counters["stage"]].outer,
        )
        self._take_objective()
        remembered = {name: tensor for name, tensor in saved.tensors.items() if name.startswith(_OBJECTIVE)}
        self.objective.restore({name.removeprefix(_OBJECTIVE): tensor for name, tensor in remembered.items()})

    def _take_objective(self) -> None:
        self.stage = self.recipe.stages[self.loop.stage]
        self.objective = self.stage.objective.make(
            self.spec, self.device, compile=self._compile, bfloat16=self._bfloat16
        )

    def _check(self) -> float:
        """Mean validation accuracy of fresh networks, trained as the recipe's `check` says.

        They begin and draw alike at every look, so that two looks differ by their memories and not by their networks.
        """
        memory = stored(self.loop.average.memory)
        training = self.recipe.followed(self.recipe.check, self.loop.average.lr)
        found = [
            choose.retrained_accuracy(memory, training, self.validation, seeds.derive(self.seed, "check", rank))
            for rank in range(self.recipe.check_networks)
        ]
        return sum(found) / len(found)


def distill(
    source: Source,
    spec: MemorySpec,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    steps: int | None = None,
    time_budget: float | None = None,
    compile: bool | None = None,
    bfloat16: bool | None = None,
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
    progress, device = progress or Silent(), device or torch.device("cpu")
    compile, bfloat16 = _resolved(compile, bfloat16, spec, recipe, device, steps, time_budget, progress)
    work = Distillation(source, spec, recipe, seed=seed, device=device, compile=compile, bfloat16=bfloat16)
    if run is not None and (saved := run.latest()) is not None:
        work.restore(saved)
        began -= work.loop.elapsed
    schedule = Schedule.of(recipe, steps, None if time_budget is None else _LOOP_SHARE * time_budget)
    diverged = follow(work, schedule, began, progress, run, interrupted, callback)

    best = work.loop.best
    retrain, reached = choose.choose(
        stored(best.memory),
        recipe.followed(recipe.retrain, best.lr),
        work.validation,
        seeds.derive(seed, "retrain"),
        progress=progress,
        ends=None if time_budget is None else began + time_budget,
        interrupted=interrupted,
    )
    manifest = Manifest(
        spec=spec,
        recipe={**recipe.to_json(), "steps": work.loop.step},
        seed=seed,
        retrain=retrain,
        provenance=_provenance(source, licence, precision(device, bfloat16)),
        results={"validation": {"accuracy": reached, "images": len(work.validation)}},
    )
    artifact = Artifact(stored(best.memory).to(torch.device("cpu")), manifest)
    return Distilled(artifact, reached, work.loop.step, time.monotonic() - began, diverged)


def _resolved(
    compile: bool | None,
    bfloat16: bool | None,
    spec: MemorySpec,
    recipe: Recipe,
    device: torch.device,
    steps: int | None,
    time_budget: float | None,
    progress: Progress,
) -> tuple[bool, bool]:
    """Whether steps are compiled, and convolutions done in bfloat16, where None leaves that to the machine."""
    if compile is None:
        compile = _compiles(spec, recipe, device, steps, time_budget, progress)
    if bfloat16 is None:
        bfloat16 = compile and quick_in_bfloat16(device)
    return compile, bfloat16


def _compiles(
    spec: MemorySpec,
    recipe: Recipe,
    device: torch.device,
    steps: int | None,
    time_budget: float | None,
    progress: Progress,
) -> bool:
    """Whether compiling pays: by the time budget; without one by counted operations, which equal steps have alike."""
    if time_budget is None:
        share = 1.0 if steps is None else steps / recipe.steps
        time_budget = share * sum(stage.steps * _seconds(stage, spec, device) for stage in recipe.stages)
    if time_budget < _LEAST_COMPILED:
        return False
    why_not = why_not_compiled(device)
    if why_not is not None:
        progress.note(f"steps are not compiled, and slower for it: {why_not}")
    return why_not is None


def _seconds(stage: Stage, spec: MemorySpec, device: torch.device) -> float:
    """About what an outer step of this stage takes on such a device, from the operations of its network."""
    settings = stage.objective
    images = settings.images_per_step(len(spec.data.classes))
    if not images:
        return 0.0
    network = build(settings.network, spec.data, seed=0)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *spec.data.shape))
    return _PASSES * counter.get_total_flops() * images / _FLOPS["cuda" if device.type == "cuda" else "cpu"]


def follow(
    work: Distillation,
    schedule: Schedule,
    began: float,
    progress: Progress,
    run: RunFolder | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    callback: Callback | None = None,
) -> bool:
    """Move `work` through its stages until the schedule ends; whether it diverged and was given up.

    `began`: when the run did, by time.monotonic. Raises Interrupted, after saving, where `interrupted()` turns true.
    """
    loop, callback = work.loop, callback or Callback()
    looked = loop.step if loop.step else -1
    _begin(work, schedule, progress)
    while True:
        loop.elapsed = time.monotonic() - began
        finished = schedule.finished(loop.stage, loop.step, loop.elapsed, loop.entered, loop.entered_at)
        if looked != loop.step and (loop.step % work.stage.check_every == 0 or finished >= 1):
            found = work.look()
            looked = loop.step
            progress.update(_done(work, schedule), validation=found, best=loop.best_accuracy)
            callback.on_look(loop.step, found, loop.best_accuracy)
            if run is not None:
                told = {"validation": found, "lr": loop.average.lr, "seconds": loop.elapsed}
                run.metrics(loop.step, stage=loop.stage + 1, loss=loop.loss, **told)
                work.save(run)
        if finished >= 1 or 0 < work.stage.patience <= loop.stale:
            progress.end()
            if not work.enter_next():
                return False
            _begin(work, schedule, progress)
            continue
        if interrupted():
            if run is not None:
                work.save(run)
            raise Interrupted(f"stopped at step {loop.step}", do="Give the same command with `resume` to continue")
        try:
            work.move(finished)
        except DivergedError as error:
            progress.note(str(error))
            progress.end()
            return True
        progress.update(_done(work, schedule), loss=loop.loss)
        callback.on_step(loop.step, loop.loss)


def _begin(work: Distillation, schedule: Schedule, progress: Progress) -> None:
    title, ends = f"distilling, {work.stage.kind}", schedule.steps or schedule.seconds
    assert ends is not None, "a schedule has an end"
    progress.begin(title, ends[-1], "steps" if schedule.steps else "s", _done(work, schedule))


def _done(work: Distillation, schedule: Schedule) -> float:
    return work.loop.step if schedule.steps else work.loop.elapsed


def estimate(
    source: Source,
    spec: MemorySpec,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    steps: int | None = None,
    time_budget: float | None = None,
    compile: bool | None = None,
    bfloat16: bool | None = None,
) -> dict[str, float]:
    """What `distill` would need: `seconds` in all, `seconds_per_step`, `peak_bytes`, measured in two steps a stage.

    The steps are those that `distill` would make: compiled and in bfloat16 where it would.
    """
    device = device or torch.device("cpu")
    compile, bfloat16 = _resolved(compile, bfloat16, spec, recipe, device, steps, time_budget, Silent())
    work = Distillation(source, spec, recipe, seed=seed, device=device, compile=compile, bfloat16=bfloat16)
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
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts it in KiB
    peak = torch.cuda.max_memory_allocated(work.device) if work.device.type == "cuda" else resident
    return {"seconds": seconds, "seconds_per_step": per_step, "peak_bytes": peak}


def _provenance(source: Source, licence: str | None, precision: str) -> dict[str, Any]:
    versions = {
        "memcli": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }
    told = {"source": source.spec.name, "fingerprint": source.fingerprint, "licence": licence, "versions": versions}
    return {**told, "precision": precision}
