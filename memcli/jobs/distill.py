"""What `memcli distill` does, from a source to a memory file: sizing, tuning, the run folder, the preview."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from memcli.data.sources import Source, open_source, with_whitening
from memcli.data.spec import DataSpec
from memcli.distillation import learn
from memcli.distillation.recipe import Recipe, load_recipe
from memcli.distillation.tune import SHARE, Tried, candidates, tune
from memcli.errors import DivergedError, Interrupted, UsageError
from memcli.files import atomic, memoryfile, runfolder
from memcli.files.memoryfile import Artifact
from memcli.files.runfolder import RunFolder
from memcli.jobs.device import resolve
from memcli.jobs.recall import preview
from memcli.jobs.signals import asked_to_stop
from memcli.memory.spec import MemorySpec
from memcli.progress import Callback, Progress, Silent
from memcli.units import seconds, size_in_bytes


@dataclass(frozen=True)
class Size:
    """What a memory may hold. What is None is chosen from the budget."""

    ipc: float | None = None  # the budget in numbers: those of so many images per class; 1 where none is given
    budget: str | None = None  # or in bytes of payload: "30KB", or "1ipc", the bytes of 1 image per class as float32
    bases: int | None = None  # K
    scale: int | None = None  # s: bases are stored smaller by this factor
    rows: int | None = None  # R: images recalled per class
    cells: int = 0  # groups of pixels that share a number, in place of a grid; 0: a grid
    storage: str = "float32"  # how numbers are stored, and learned
    labels: str = "fixed"  # or learned within the budget: "class", "row"

    def limit(self, data: DataSpec) -> dict[str, int]:
        """The budget as an argument of `MemorySpec.from_budget`: `floats` or `bytes`."""
        if self.ipc is not None and self.budget is not None:
            raise UsageError("both `ipc` and `budget` are given", do="Give one of them")
        if self.ipc is not None and not 0 < self.ipc <= 1_000_000:
            raise UsageError(f"`ipc` is {self.ipc:g}", do="Give a positive number of images per class")
        image_of_each = len(data.classes) * data.floats_per_image  # numbers of one image per class
        if self.budget is not None:
            return {"bytes": size_in_bytes(self.budget, ipc=4 * image_of_each)}
        return {"floats": int((1 if self.ipc is None else self.ipc) * image_of_each)}

    def fitted(self, data: DataSpec) -> Callable[..., MemorySpec]:
        """`MemorySpec.from_budget` with all given but bases, scale, rows, cells and the most rows."""
        return partial(MemorySpec.from_budget, data, storage=self.storage, labels=self.labels, **self.limit(data))

    def spec(self, data: DataSpec, recipe: Recipe) -> MemorySpec:
        """The memory of this size for `data`, to be learned by `recipe`."""
        chosen = {"bases": self.bases, "scale": self.scale, "rows": self.rows, "cells": self.cells}
        return self.fitted(data)(most_rows=recipe.most_rows, **chosen)

    def require_free(self) -> None:
        """Raise UsageError where a size is given that tuning chooses."""
        if self.cells or any(size is not None for size in (self.bases, self.scale, self.rows)):
            raise UsageError(
                "`tune` chooses bases, scale and rows, and no cells",
                do="Leave out `bases`, `scale`, `cells` and `rows`",
            )


@dataclass(frozen=True)
class Plan:
    """A distillation that is ready to begin: all that was asked for, resolved."""

    source: Source
    size: Size
    recipe: Recipe
    spec: MemorySpec  # before tuning
    seed: int
    device: torch.device
    steps: int | None
    time_budget: float | None  # seconds
    compile: bool | None
    bfloat16: bool | None
    tune: bool
    progress: Progress

    def resolved(self, spec: MemorySpec) -> dict[str, Any]:
        """The settings as plain JSON."""
        data = self.source.spec.to_json()
        return {"recipe": self.recipe.to_json(), "memory": spec.to_json(), "seed": self.seed, "data": data}

    @property
    def seconds_to_learn(self) -> float | None:
        """The time that is left after tuning."""
        if self.time_budget is None or not self.tune:
            return self.time_budget
        return self.time_budget * (1 - SHARE)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that a distillation and its estimate share."""
        return {
            "seed": self.seed,
            "device": self.device,
            "steps": self.steps,
            "time_budget": self.seconds_to_learn,
            "compile": self.compile,
            "bfloat16": self.bfloat16,
        }


@dataclass(frozen=True)
class Estimate:
    """What a distillation would make and need."""

    settings: dict[str, Any]  # recipe, memory, seed and data, as plain JSON
    spec: MemorySpec
    seconds: float  # of the outer loop
    seconds_per_step: float
    peak_bytes: int  # of memory: the GPU's where one is used


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
        """The checksum of the file's tensors."""
        return self.artifact.sha256


class GivenUpError(DivergedError):
    """Training diverged; `result` is the best memory before that, which is in its file."""

    def __init__(self, result: DistilledFile) -> None:
        super().__init__("training diverged", do=f"The best memory before that is in {result.path}; lower the rates")
        self.result = result


def prepared(
    source: Source | str | Path,
    *,
    size: Size,
    tune: bool = False,
    recipe: str | Recipe = "quick",
    steps: int | None = None,
    time_budget: str | float | None = None,
    compile: bool | None = None,
    bfloat16: bool | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    zca: bool = False,
    download: bool = False,
    image_size: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Resolve what was asked for, and open the source. See `distill` for the arguments."""
    progress = progress or Silent()
    plan = load_recipe(recipe) if isinstance(recipe, str) else recipe
    place = resolve(device) if isinstance(device, str) else device
    limit = seconds(time_budget) if isinstance(time_budget, str) else time_budget
    opened = source
    if not isinstance(opened, Source):
        opened = open_source(str(opened), download=download, image_size=image_size)
    for note in opened.notes:
        progress.note(note)
    if zca:
        opened = with_whitening(opened)
    if tune:
        size.require_free()
    spec = size.spec(opened.spec, plan)
    return Plan(opened, size, plan, spec, seed, place, steps, limit, compile, bfloat16, tune, progress)


def estimate(source: Source | str | Path, **settings: Any) -> Estimate:
    """What `distill` with the same settings would make and need, measured in a few steps; writes nothing.

    Raises as `distill` does.
    """
    plan = prepared(source, **_grouped(settings))
    needed = learn.estimate(plan.source, plan.spec, plan.recipe, **plan.settings)
    peak = int(needed["peak_bytes"])
    return Estimate(plan.resolved(plan.spec), plan.spec, needed["seconds"], needed["seconds_per_step"], peak)


def distill(
    source: Source | str | Path,
    output: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    licence: str | None = None,
    callback: Callback | None = None,
    **settings: Any,
) -> DistilledFile:
    """Learn a memory of `source`'s training images, and write it to `output`, as `memcli distill` does.

    `source`: what `open_source` gives, or a text for it. The settings are those of the command, by the same names:

    - the size: `ipc`, `budget`, `bases`, `scale`, `rows`, `cells`, `storage`, `labels` (see `Size`), and `tune`, which
      chooses bases, scale and rows by short runs in a quarter of the time or steps;
    - the work: `recipe` (a name, a .toml file or a Recipe), `steps` (outer steps), `time_budget` (seconds, or a text
      such as "5m"), `compile`, `bfloat16`, `seed`, `device` ("auto", "cpu", "cuda:0");
    - the data: `zca` whitens it; `download` and `image_size` are for a source that is given as a text.

    The state is kept in a folder beside `output`; `resume` continues a run that was stopped, `force` replaces what is
    there. `licence` is the data's, as text for the file's provenance. `callback` follows the run.

    Raises UsageError for settings that are impossible, DataError for data that cannot be used, ExistsError where
    `output` or its run exists, Interrupted after SIGINT or SIGTERM, when the state is saved, and DivergedError where
    training diverged: the best memory before that is written then, too. Method: Deng & Russakovsky, NeurIPS 2022.
    """
    output, callback = Path(output), callback or Callback()
    atomic.check_output(output, force)
    plan = prepared(source, **_grouped(settings))
    spec, trials = _chosen_size(plan, output, resume)
    told = plan.resolved(spec) | {"fingerprint": plan.source.fingerprint, "licence": licence}
    with (
        runfolder.opened(output, told, resume=resume, force=force) as run,
        asked_to_stop(plan.progress) as interrupted,
    ):
        for name in run.damaged:
            plan.progress.note(f"{name} was damaged and is left out; an older checkpoint is continued")
        found = _learned(plan, spec, run, licence, callback, interrupted)
        sha256 = memoryfile.write(output, found.artifact, force=force)
        preview(found.artifact.memory, run.path / "preview.png", force=True)
        run.status("failed" if found.diverged else "done", steps=found.steps, seconds=found.seconds, sha256=sha256)
    made = replace(found.artifact, sha256=sha256)
    result = DistilledFile(output, made, found.validation, found.steps, found.seconds, found.diverged, trials)
    callback.on_end(result)
    if result.diverged:
        raise GivenUpError(result)
    return result


def _grouped(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` with those of the size put together. UsageError where one is unknown."""
    size = {name: settings.pop(name) for name in Size.__dataclass_fields__ if name in settings}
    known = prepared.__kwdefaults__ or {}
    if unknown := sorted(settings.keys() - known.keys()):
        names = ", ".join((*Size.__dataclass_fields__, *known))
        raise UsageError(f"there is no setting `{unknown[0]}`", do=f"Choose from {names}")
    return {"size": Size(**size), **settings}


def _chosen_size(plan: Plan, output: Path, resume: bool) -> tuple[MemorySpec, tuple[Tried, ...]]:
    """The size of the memory, and the trials that chose it, if any."""
    if not plan.tune:
        return plan.spec, ()
    if resume:
        return MemorySpec(plan.source.spec, **runfolder.settings(output)["memory"]), ()
    trials = tune(
        plan.source,
        candidates(plan.source.spec, plan.size.fitted(plan.source.spec)),
        plan.recipe,
        seed=plan.seed,
        device=plan.device,
        steps=None if plan.steps is None else max(1, round(SHARE * plan.steps)),
        time_budget=None if plan.time_budget is None else SHARE * plan.time_budget,
        progress=plan.progress,
    )
    for trial in reversed(trials):
        size = f"{trial.spec.bases} bases at scale {trial.spec.scale}, {trial.spec.rows} rows"
        plan.progress.note(f"{size}: {100 * trial.accuracy:.2f} % of validation after {trial.steps} steps")
    return trials[0].spec, trials


def _learned(
    plan: Plan,
    spec: MemorySpec,
    run: RunFolder,
    licence: str | None,
    callback: Callback,
    interrupted: Callable[[], bool],
) -> learn.Distilled:
    """The distillation itself; its end is told in the run folder where it is not a good one."""
    run.status("running")
    try:
        return learn.learn(
            plan.source,
            spec,
            plan.recipe,
            **plan.settings,
            licence=licence,
            progress=plan.progress,
            callback=callback,
            run=run,
            interrupted=interrupted,
        )
    except Interrupted as error:
        run.status("interrupted", reason=error.what, exit_code=error.exit_code)
        raise
    except Exception as error:
        run.status("failed", reason=str(error))
        raise
