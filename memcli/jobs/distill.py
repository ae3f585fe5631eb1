"""What `memcli distill` does, from a source to a memory file: sizing, tuning, the run folder, the preview."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from memcli.data.sources import Source
from memcli.data.summary import Summary
from memcli.distillation import learn
from memcli.distillation.estimate import estimate as measured
from memcli.distillation.estimate import require_memory
from memcli.distillation.tune import Tried, candidates, tune
from memcli.errors import DivergedError, Interrupted, MemoryFileError, UsageError
from memcli.files import atomic, memoryfile, runfolder
from memcli.files.memoryfile import Artifact
from memcli.files.runfolder import RunFolder
from memcli.jobs.plan import Plan, grouped, prepared
from memcli.jobs.preview import preview
from memcli.jobs.tracking import followed
from memcli.memory.spec import MemorySpec
from memcli.progress import Callback
from memcli.stopping import Stopped, resumable, stoppable, whole
from memcli.text import printable
from memcli.trackers import TRACKERS


@dataclass(frozen=True)
class Estimate:
    """What a distillation would make and need."""

    settings: dict[str, Any]  # recipe, memory, seed and data, as plain JSON
    spec: MemorySpec
    seconds: float  # of the whole command
    seconds_per_step: float
    peak_bytes: int  # of memory: the GPU's where one is used
    parts: dict[str, float]  # seconds of each part of the command
    summary: Summary  # of the source


@dataclass(frozen=True)
class DistilledFile:
    """A distillation that was written to a file."""

    path: Path
    artifact: Artifact  # as `memcli.load` would read it
    validation: float  # accuracy, in [0, 1], of a network retrained by the stored recipe, on the validation part
    steps: int  # outer steps
    seconds: float
    diverged: bool  # the run was given up, and this is the best memory before that
    trials: tuple[Tried, ...] = ()  # of tuning, the chosen one first

    @property
    def sha256(self) -> str:
        """The checksum of the file."""
        return self.artifact.sha256


class GivenUpError(DivergedError):
    """Training diverged; `result` is the best memory before that, which is in its file."""

    def __init__(self, result: DistilledFile) -> None:
        super().__init__("training diverged", do=f"The best memory before that is in {result.path}; lower the rates")
        self.result = result


def estimate(source: Source | str | Path, **settings: Any) -> Estimate:
    """What `distill` with the same settings would make and need, measured in a few steps; writes nothing.

    It takes the size, the work and the data, but not `resume`, `force`, `licence` and `callback`.

    Raises as `distill` does.
    """
    plan = prepared(source, **grouped(settings))
    needs = measured(
        plan.source, plan.spec, plan.recipe, plan.run, tune=plan.tune, began=plan.began, progress=plan.progress
    )
    cost = needs.seconds, needs.seconds_per_step, needs.peak_bytes, needs.parts
    return Estimate(plan.resolved(), plan.spec, *cost, plan.summary)


def distill(
    source: Source | str | Path,
    output: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    licence: str | None = None,
    callback: Callback | None = None,
    track: str | None = None,
    **settings: Any,
) -> DistilledFile:
    """Learn a memory of `source`'s training images, and write it to `output`, as `memcli distill` does.

    `source`: what `open_source` gives, or a text for it. The settings are those of the command, by the same names:

    - the size: `ipc`, `budget`, `bases`, `scale`, `rows`, `cells`, `storage`, `labels` (see `Size`), and `tune`, which
      chooses bases, scale and rows by short runs in a quarter of the time or steps;
    - the work: `recipe` (a name, a .toml file or a Recipe), `steps` (outer steps), `time_budget` (seconds, or a text
      such as "5m"), `compile`, `bfloat16`, `seed`, `device` ("auto", "cpu", "cuda:0");
    - the data: `zca` whitens it; `download`, `image_size`, `fit` and `skip_damaged` are for a source that is given as a
      text, and are those of `open_source`.

    The state is kept in a folder beside `output`; `resume` continues a run that was stopped, `force` replaces what is
    there. `licence` is the data's, as text for the file's provenance. `callback` follows the run,
    and so does the tracker that `track` names ("tensorboard", "trackio", "wandb"), whose failures end nothing.

    Raises UsageError for settings that are impossible, DataError for data that cannot be used, ExistsError where
    `output` or its run exists, Interrupted after SIGINT or SIGTERM, when the state is saved, and DivergedError where
    training diverged: the best memory before that is written then, too. Method: Deng & Russakovsky, NeurIPS 2022.
    """
    output, callback = Path(output), callback or Callback()
    atomic.check_output(output, force)
    if track is not None:
        TRACKERS.find(track).require()
    plan = prepared(source, **grouped(settings))
    require_memory(plan.spec, plan.recipe, plan.run.device)
    told = plan.resolved() | {"fingerprint": plan.source.fingerprint, "licence": licence}
    told |= {"tune": True} if plan.tune else {}
    with (
        runfolder.opened(output, told, resume=resume, force=force) as run,
        stoppable(plan.progress),
        followed(track, run, output.stem, told, callback, plan.progress) as both,
    ):
        for name, value in plan.summary.lines():
            plan.progress.note(f"{name}: {value}")
        for name in run.damaged:
            plan.progress.note(f"{name} was damaged and is left out; an older checkpoint is continued")
        trials, found = _learned(plan, run, licence, both)
        with suppress(Stopped), whole():  # what is left to do is quick, and then there is nothing to stop
            sha256 = memoryfile.write(output, found.artifact, force=force)
            real = plan.source.split("train")
            preview(found.artifact, run.path / "preview.png", real=real, force=True)
            run.status("failed" if found.diverged else "done", steps=found.steps, seconds=found.seconds, sha256=sha256)
        made = replace(found.artifact, sha256=sha256)
        result = DistilledFile(output, made, found.validation, found.steps, found.seconds, found.diverged, trials)
        both.on_end(result)
    if result.diverged:
        raise GivenUpError(result)
    return result


def _tuned(plan: Plan, run: RunFolder) -> tuple[Tried, ...]:
    """The trials that choose the size, the best first; those that the run folder holds are not made again."""
    told, data = run.trials(), plan.source.spec
    known = {}
    try:
        for trial in told:
            size = MemorySpec(data, **trial["memory"])
            known[trial["round"], size] = Tried(size, trial["steps"], trial["accuracy"])
    except (KeyError, TypeError, UsageError) as error:
        shown = printable(str(run.path / runfolder.TRIALS))
        raise MemoryFileError(f"{shown} is damaged", do="Start afresh with `force`") from error

    def record(place: tuple[int, MemorySpec], trial: Tried) -> None:
        figures = {"steps": trial.steps, "accuracy": trial.accuracy}
        told.append({"round": place[0], "memory": trial.spec.to_json(), **figures})
        run.tried(told)

    trials = tune(
        plan.source,
        candidates(data, plan.size.fitted(data)),
        plan.recipe,
        plan.tuning,
        progress=plan.progress,
        known=known,
        record=record,
    )
    for one in reversed(trials):
        shape = f"{one.spec.bases} bases at scale {one.spec.scale}, {one.spec.rows} rows"
        plan.progress.note(f"{shape}: {100 * one.accuracy:.2f} % of validation after {one.steps} steps")
    return trials


def _learned(
    plan: Plan, run: RunFolder, licence: str | None, callback: Callback
) -> tuple[tuple[Tried, ...], learn.Distilled]:
    """Tuning, if it is asked for, and the distillation; its end is told in the run folder where it is no good one."""
    run.status("running")
    try:
        with resumable("stopped before the first step"):
            trials = _tuned(plan, run) if plan.tune else ()
            found = learn.learn(
                plan.source,
                trials[0].spec if trials else plan.spec,
                plan.recipe,
                plan.run,
                licence=licence,
                progress=plan.progress,
                callback=callback,
                run=run,
                began=plan.began,
            )
    except Interrupted as error:
        run.status("interrupted", reason=error.what, exit_code=error.exit_code)
        raise
    except Exception as error:
        run.status("failed", reason=str(error))
        raise
    return trials, found
