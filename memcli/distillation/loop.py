"""The loop over outer steps: a distillation on its way, through the stages of its recipe."""

import json
import time

import torch
from torch import Tensor

from memcli import seeds
from memcli.data.images import LabelledImages
from memcli.data.real import RealImages
from memcli.data.sources.base import Source, holdout
from memcli.distillation.beside import Beside
from memcli.distillation.compiler import made_step
from memcli.distillation.easy import Judge
from memcli.distillation.outer import OuterLoop
from memcli.distillation.recipe import Recipe
from memcli.distillation.schedule import JUDGING_SHARE, Schedule
from memcli.distillation.settings import RunSettings
from memcli.engine import free_cache
from memcli.engine.compiling.toolchain import where
from memcli.errors import DivergedError, Interrupted, out_of_memory
from memcli.files.checkpoints import Checkpoint, damaged, usable
from memcli.files.memoryfile import stored
from memcli.files.runfolder import RunFolder
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.memory.start import start
from memcli.objectives import Objective, Outcome
from memcli.objectives.base import parted, remembered
from memcli.objectives.replicas import Replicas
from memcli.objectives.turns import made
from memcli.progress import Callback, Progress, Silent
from memcli.stopping import AGAIN, Stopped, whole
from memcli.training import choose


class Distillation:
    """A distillation on its way: its images, its memory, and the stage that it is in."""

    def __init__(
        self,
        source: Source,
        spec: MemorySpec,
        recipe: Recipe,
        settings: RunSettings,
        progress: Progress | None = None,
        beside: Beside | None = None,
        goes_on: bool = False,
    ) -> None:
        """Computes the start, which reports to `progress`. `beside`: who compiles the steps; None: they themselves.

        `goes_on`: a saved state takes the place of the start, for which no images are judged then.
        """
        self.spec, self.recipe, self.settings = spec, recipe, settings
        self._progress, self._lightened, self._beside = progress or Silent(), False, beside
        seed, device = settings.seed, settings.device
        training, validation = holdout(source.split("train"), len(spec.data.classes), seed, recipe.holdout)
        shuffled = torch.randperm(len(validation), generator=seeds.generator(seed, "validation order"))
        self.validation = validation.subset(shuffled[: recipe.check_images])
        self.real = RealImages(training, spec.data, device)
        self.judge = Judge(training, spec.data, device, seed)
        kind = (recipe.unjudged() if goes_on else recipe).start
        tensors = self._start(kind, training) if settings.ranks.rank == 0 else {}
        begin = Memory(spec, **settings.ranks.first(tensors)).to(device)
        self.loop = OuterLoop(begin, recipe.lr, recipe.stages[0].outer)
        self.step_seconds = self.look_seconds = 0.0  # what the last ones took
        self._take_objective()

    def _start(self, kind: str, training: LabelledImages) -> dict[str, Tensor]:
        """The tensors of the memory that learning starts from."""
        settings = self.settings
        if kind == "easy":
            seconds = None if settings.time_budget is None else JUDGING_SHARE * settings.time_budget
            training = self.judge.easier(self.spec.rows, seconds, self._progress)
        return start(kind, self.spec, training, settings.seed, self._progress).tensors

    def move(self, finished: float) -> None:
        """One outer step; `finished` is the share of the stage that is over. Raises DivergedError.

        Where Stopped is raised, the state is that before the step or that after it.
        """
        self._quicken()
        loop, objective, began = self.loop, self.objective, time.monotonic()
        kept = {name: tensor.clone() for name, tensor in objective.tensors().items()}
        before = loop.step, loop.retreats
        try:
            memory = loop.here.memory.rounded()
            outcome = self._outcome(memory)
            with whole():
                loop.move(outcome, finished)
        except Stopped:
            if (loop.step, loop.retreats) == before and usable(kept.values()):
                objective.restore(kept)
            raise
        self.step_seconds = time.monotonic() - began

    def _outcome(self, memory: Memory) -> Outcome:
        """What a step of the objective gives; where memory does not suffice, from smaller pieces at a time."""
        loop, objective = self.loop, self.objective
        while True:
            try:
                return objective.step(memory, loop.here.lr, self.real, self.settings.seed, loop.draw)
            except Exception as error:
                what = out_of_memory(error)
                if what is None or not objective.lighten():
                    raise
            free_cache(self.settings.device)  # here, where no traceback holds the tensors of the step
            if not self._lightened:
                self._progress.note(
                    f"the {what} ran out of memory: steps are done for fewer images at a time, with the same outcome to"
                    " rounding"
                )
            self._lightened = True

    @property
    def waits_for(self) -> str:
        """What the next step takes long for, if it is the first of a stage."""
        return "compiling" if self.settings.compile and not self._slow else "the first step"

    def look(self) -> float:
        """Measure the memory, keep it if it is the best so far, and return its accuracy."""
        began = time.monotonic()
        accuracy = self._check()
        with whole():
            self.loop.consider(accuracy)
        self.look_seconds = time.monotonic() - began
        return accuracy

    def enter_next(self) -> bool:
        """Go on to the next stage; False where this was the last."""
        if self.loop.stage + 1 == len(self.recipe.stages):
            return False
        with whole():
            self.loop.enter(self.recipe.stages[self.loop.stage + 1].outer)
            self._take_objective()
        return True

    def save(self, run: RunFolder | None) -> None:
        """Save the state, unless it is just about to be left for an earlier one, since its numbers are not finite.

        All ranks take part; the one that has a run folder writes.
        """
        state = {**self.loop.tensors(), **self.settings.ranks.collected(remembered(self.objective))}
        if run is not None and usable(state.values()):
            run.save(self.loop.step, state, self.loop.counters())

    def go_on(self, run: RunFolder | None) -> bool:
        """Continue from the newest state in the run folder, which the first rank has; whether there is any."""
        ranks = self.settings.ranks
        saved = None if run is None else run.latest(self.restore, self._progress.note)
        told = ranks.said("" if saved is None else json.dumps({"step": saved.step, "counters": saved.counters}))
        tensors = ranks.first({} if saved is None else saved.tensors)
        if told and saved is None:
            self.restore(Checkpoint(tensors=tensors, **json.loads(told)))
        return told != ""

    def restore(self, saved: Checkpoint) -> None:
        """Continue from what `save` saved. MemoryFileError where it cannot have: the state is then not to be used."""
        stage = saved.counters.get("stage")
        if (
            type(stage) is not int
            or not 0 <= stage < len(self.recipe.stages)
            or saved.counters.get("step") != saved.step
        ):
            raise damaged("it is of another step, or of no stage of the recipe")
        of_loop, own = parted(saved.tensors)
        self.loop.restore(of_loop, saved.counters, self.recipe.stages[stage].outer)
        self._take_objective()
        self.objective.restore(own)

    def _take_objective(self) -> None:
        self.stage = self.recipe.stages[self.loop.stage]
        compile = bool(self.settings.compile)
        self._slow = self._beside is not None
        self._compiles_first = compile and not self._slow and self.settings.ranks.size > 1
        self.objective = self._made(compile=compile and not self._slow)

    def _made(self, compile: bool) -> Objective:
        """The objective of the stage; of several replicas, those of this rank."""
        settings = self.settings
        how = {"compile": compile, "bfloat16": bool(settings.bfloat16)}
        own = settings.ranks.own(settings.replicas)
        objectives = {number: made(self.stage.objective, self.spec, settings.device, **how) for number in own}
        if settings.replicas == 1:
            return objectives[0]
        return Replicas(objectives, settings.replicas, settings.ranks)

    def _quicken(self) -> None:
        """Go on with compiled steps, once they are ready: from the same state, as from a checkpoint.

        Of several ranks that share torch's folder of compiled code, one compiles, and the others take it from there.
        """
        if self._compiles_first:
            settings, self._compiles_first = self.settings, False
            if settings.ranks.is_first_of(where(settings.device)):
                made_step(self.spec, self.stage.objective, settings.device, bool(settings.bfloat16))
            settings.ranks.all_said("compiled")
        if self._slow and self._beside is not None and self._beside.ready(self.loop.stage):
            quick = self._made(compile=True)
            quick.restore(self.objective.tensors())
            self.objective, self._slow = quick, False

    def _check(self) -> float:
        """Mean validation accuracy of fresh networks, trained as the recipe's `check` says.

        They begin and draw alike at every look, so that two looks differ by their memories and not by their networks.
        """
        memory = stored(self.loop.average.memory)
        training = self.recipe.followed(self.recipe.check, self.loop.average.lr)
        ranks, networks = self.settings.ranks, self.recipe.check_networks
        own = torch.zeros(networks, dtype=torch.float64)
        for number in ranks.own(networks):
            seed = seeds.derive(self.settings.seed, "check", number)
            own[number] = choose.retrained_accuracy(memory, training, self.validation, seed)
        return sum(ranks.summed({"accuracies": own})["accuracies"].tolist()) / networks


def follow(
    work: Distillation,
    schedule: Schedule,
    began: float,
    progress: Progress,
    run: RunFolder | None = None,
    callback: Callback | None = None,
) -> bool:
    """Move `work` through its stages until the schedule ends; whether it diverged and was given up.

    `began`: when the run did, by time.monotonic. Raises Interrupted, after saving, where Stopped is raised.
    """
    try:
        return _followed(work, schedule, began, progress, run, callback or Callback())
    except Stopped as stopped:
        (work.loop.elapsed,) = work.settings.ranks.agreed(time.monotonic() - began, stops=False)
        work.save(run)
        what = f"stopped at step {work.loop.step}"
        raise Interrupted(what, do=AGAIN) from stopped


def _followed(
    work: Distillation, schedule: Schedule, began: float, progress: Progress, run: RunFolder | None, callback: Callback
) -> bool:
    loop = work.loop
    _begin(work, schedule, progress)
    while True:
        loop.elapsed = time.monotonic() - began
        finished = schedule.finished(loop, work.step_seconds + work.look_seconds)
        loop.elapsed, finished = work.settings.ranks.agreed(loop.elapsed, finished)
        if loop.looked != loop.step and (loop.step % work.stage.check_every == 0 or finished >= 1):
            progress.busy("looking at validation images")
            accuracy = work.look()
            progress.busy("")
            progress.update(_done(work, schedule), look=accuracy, best_look=loop.best_accuracy)
            callback.on_look(loop.step, accuracy, loop.best_accuracy)
            figures = {"validation": accuracy, "lr": loop.average.lr, "seconds": loop.elapsed}
            figures = {"stage": loop.stage + 1, "loss": loop.loss, **figures}
            callback.on_figures(loop.step, figures)
            with whole():
                if run is not None:
                    run.metrics(loop.step, **figures)
                work.save(run)
            continue  # the look took time
        if finished >= 1 or 0 < work.stage.patience <= loop.stale:
            progress.end()
            if not work.enter_next():
                return False
            _begin(work, schedule, progress)
            continue
        try:
            work.move(finished)
        except DivergedError as error:
            progress.note(str(error))
            progress.end()
            return True
        progress.busy("")
        progress.update(_done(work, schedule), loss=loop.loss)
        callback.on_step(loop.step, loop.loss)


def _begin(work: Distillation, schedule: Schedule, progress: Progress) -> None:
    title, end = f"distilling, {work.stage.kind}", schedule.steps[-1] if schedule.steps else work.settings.time_budget
    progress.begin(title, end, "steps" if schedule.steps else "s", _done(work, schedule))
    progress.busy(work.waits_for)


def _done(work: Distillation, schedule: Schedule) -> float:
    return work.loop.step if schedule.steps else work.loop.elapsed
