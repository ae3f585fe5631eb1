"""What `memcli distill` does, from a source to a memory file: sizing, tuning, the run folder, the preview."""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from memcli.data.sources import Source
from memcli.data.summary import Summary
from memcli.distillation import learn
from memcli.distillation.estimate import disk_bytes, require_memory
from memcli.distillation.estimate import estimate as measured
from memcli.distillation.tune import Tried
from memcli.errors import DivergedError, ExistsError, MemoryFileError
from memcli.files import atomic, memoryfile, runfolder
from memcli.files.memoryfile import Artifact
from memcli.files.resumable import ASKED
from memcli.files.runfolder import RunFolder
from memcli.files.space import require_space
from memcli.jobs.asked import FLAGS, begun, completed, kept
from memcli.jobs.compilecache import carried
from memcli.jobs.ending import attempt, computing, ending, note_other_machine, number
from memcli.jobs.plan import Plan, grouped, prepared
from memcli.jobs.preview import preview
from memcli.jobs.tracking import followed
from memcli.jobs.tuning import tuned
from memcli.memory.spec import MemorySpec
from memcli.progress import Callback
from memcli.stopping import Stopped, resumable, stoppable, whole
from memcli.text import printable
from memcli.trackers import TRACKERS

_LEARN, _READ = "learn", "read"  # what the first rank says to the others: there is work, or the output is there already
_REPLACE = "Add `force` to replace it, or choose another `output`"


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

    It takes the size, the work and the data, but not `resume`, `force`, `licence`, `callback` and `compile_cache`.

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
    compile_cache: str | Path | None = None,
    **settings: Any,
) -> DistilledFile:
    """Learn a memory of `source`'s training images, and write it to `output`, as `memcli distill` does.

    `source`: what `open_source` gives, or a text for it. The settings are those of the command, by the same names:

    - the size: `ipc`, `budget`, `bases`, `scale`, `rows`, `cells`, `support`, `storage`, `labels` (see `Size`), and
      `tune`, which chooses bases, scale and rows by short runs in a quarter of the time or steps;
    - the work: `recipe` (a name, a .toml file or a Recipe; default: quick, or where there is time best), `steps` (outer
      steps), `time_budget` (seconds, or a text such as "5m"), `compile`, `bfloat16`, `seed`, `device` ("auto", "cpu",
      "cuda:0"), `replicas` (how often a step is computed, each time on draws of its own, for the mean);
    - the data: `zca` whitens it; `download`, `image_size`, `fit`, `skip_damaged` and `cache` are for a source that is
      given as a text, and are those of `open_source`.

    The state is kept in a folder beside `output`; `resume` continues a run that was stopped, `force` replaces what is
    there. `licence` is the data's, as text for the file's provenance. `callback` follows the run, and so does the
    tracker that `track` names ("tensorboard", "trackio", "wandb"), whose failures end nothing. `compile_cache` is a
    file that compiled steps are taken from and kept in, for other machines of the same kind. It holds code that is run,
    so name none that you would not run. All processes of a `torch.distributed` group must call this alike: each
    computes its part of the replicas, by default one, and the first writes.

    Raises UsageError for settings that are impossible, DataError for data that cannot be used, ExistsError where
    `output` or its run exists, Interrupted after a signal, when the state is saved, and DivergedError where training
    diverged: the best memory before that is written then, too. Method: Deng & Russakovsky, NeurIPS 2022.
    """
    output, callback = Path(output), callback or Callback()
    if track is not None:
        TRACKERS.find(track).require()
    settings |= {} if licence is None else {"licence": licence}
    settings = _as_begun(output, settings, resume, force)
    _require_free(output, resume, force)
    asked, licence = dict(settings), settings.pop("licence", None)
    plan = _fitting(prepared(source, **grouped(settings)), output)
    if plan.run.ranks.rank:
        return _helped(plan, output, licence)
    asked["recipe"] = asked.get("recipe") or plan.recipe.name  # so that another time budget chooses no other one
    told = _told(plan, licence)
    with (
        runfolder.opened(output, {**told, ASKED: kept(asked)}, resume=resume, force=force, flags=FLAGS) as run,
        stoppable(plan.progress),
        carried(compile_cache, plan.run.device, plan.progress),
    ):
        result = _finished(plan, run, output) if resume and not force else None
        plan.run.ranks.said(_LEARN if result is None else _READ)
        if result is None:
            with followed(track, run, output.stem, told, callback, plan.progress) as both:
                result = _made(plan, run, output, licence, force, both)
                both.on_end(result)
    return _not_given_up(result)


def _as_begun(output: Path, settings: dict[str, Any], resume: bool, force: bool) -> dict[str, Any]:
    """`settings` as the run of `output` has them, if one goes on: all that is not given, or the recipe alone."""
    if resume:
        return completed(settings, runfolder.asked(output))
    with suppress(MemoryFileError):  # which is told where the run is opened, if anything would be lost
        return settings if force else begun(settings, runfolder.asked(output))
    return settings


def _not_given_up(result: DistilledFile) -> DistilledFile:
    """`result`; GivenUpError where the run was given up."""
    if result.diverged:
        raise GivenUpError(result)
    return result


def _told(plan: Plan, licence: str | None) -> dict[str, Any]:
    """All that determines the result, as the run folder keeps it."""
    tuned = {"tune": True} if plan.tune else {}
    return plan.resolved() | {"fingerprint": plan.source.fingerprint, "licence": licence} | tuned


def _fitting(plan: Plan, output: Path) -> Plan:
    """`plan`, for which there is memory and disk; LimitError where there is not."""
    require_memory(plan.spec, plan.recipe, plan.run.device)
    require_space(output, disk_bytes(plan.spec, plan.recipe, plan.run.replicas), "the run with its checkpoints")
    return plan


def _helped(plan: Plan, output: Path, licence: str | None) -> DistilledFile:
    """What a rank does that is not the first: its part of each step. It returns what the first one writes."""
    ranks = plan.run.ranks
    with stoppable(plan.progress):
        if ranks.said("") == _READ:
            result = _finished(plan, None, output)
            if result is None:
                raise ExistsError("the run is finished on the first rank's machine", do="Read its output there")
        else:
            trials, found = _learned(plan, None, licence, None)
            made = replace(found.artifact, sha256=ranks.said(""))
            result = DistilledFile(output, made, found.validation, found.steps, found.seconds, found.diverged, trials)
    return _not_given_up(result)


def _require_free(output: Path, resume: bool, force: bool) -> None:
    """Raise ExistsError where `output` exists, unless it is what the run that is resumed has made."""
    try:
        atomic.check_output(output, force)
    except ExistsError:
        if not resume or runfolder.state(output).get("state") not in ("running", "done", "failed"):
            raise


def _finished(plan: Plan, run: RunFolder | None, output: Path) -> DistilledFile | None:
    """What the run made, where it is finished and `output` holds just that."""
    told = runfolder.state(output)
    if not (output.exists() and told.get("state") in ("done", "failed")):
        return None
    artifact = memoryfile.read(output)
    if artifact.sha256 != told.get("sha256"):
        raise ExistsError(f"{printable(str(output))} exists, and is not what the run made", do=_REPLACE)
    plan.progress.note(f"{printable(str(output))} is what this run made: nothing is left to do")
    accuracy, steps = artifact.manifest.results["validation"]["accuracy"], artifact.manifest.recipe["steps"]
    trials = tuned(plan.alone, run, over=True) if plan.tune and run is not None else ()
    return DistilledFile(
        output, artifact, accuracy, steps, number(told.get("seconds")), told["state"] == "failed", trials
    )


def _made(
    plan: Plan, run: RunFolder, output: Path, licence: str | None, force: bool, callback: Callback
) -> DistilledFile:
    """The run itself, whose status ends as it does; what is left when the memory is written may fail."""
    progress, here = plan.progress, computing(plan.run.device)
    for name, value in plan.summary.lines():
        progress.note(f"{name}: {value}")
    if run.continued:
        progress.note("an earlier run of these settings goes on")
        note_other_machine(progress, runfolder.state(output), here)
    with ending(run, here):
        trials, found = _learned(plan, run, licence, callback)
        with suppress(Stopped), whole():  # what is left to do is quick, and then there is nothing to stop
            sha256 = _write(output, found.artifact, force)
            precision = found.artifact.manifest.provenance["precision"]
            told = {"steps": found.steps, "seconds": found.seconds, "sha256": sha256, **here, "precision": precision}
            state = "failed" if found.diverged else "done"
            attempt(progress, runfolder.STATUS, lambda: run.status(state, **told))
            real, picture = plan.source.split("train"), run.path / runfolder.PREVIEW
            attempt(progress, runfolder.PREVIEW, lambda: preview(found.artifact, picture, real=real, force=True))
    made = replace(found.artifact, sha256=plan.run.ranks.said(sha256))
    return DistilledFile(output, made, found.validation, found.steps, found.seconds, found.diverged, trials)


def _write(output: Path, artifact: Artifact, force: bool) -> str:
    """Write the memory and return its checksum. Where a run was killed just after that, it is there already."""
    if output.exists() and not force:
        there = memoryfile.read(output)
        parts = there.memory.parts
        same = there.manifest == artifact.manifest and parts.keys() == artifact.memory.parts.keys()
        if same and all(torch.equal(part, parts[name]) for name, part in artifact.memory.parts.items()):
            return there.sha256
    return memoryfile.write(output, artifact, force=force)


def _learned(
    plan: Plan, run: RunFolder | None, licence: str | None, callback: Callback | None
) -> tuple[tuple[Tried, ...], learn.Distilled]:
    """Tuning, if it is asked for, and the distillation."""
    with resumable("stopped before the first step"):
        trials = tuned(plan, run) if plan.tune else ()
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
    return trials, found
