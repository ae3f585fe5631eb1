"""A distillation as it is asked for: the size of the memory, and all settings resolved."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from memcli.data.sources import Source, open_source, with_whitening
from memcli.data.spec import DataSpec
from memcli.data.summary import Summary, summary
from memcli.distillation.recipe import RECIPES, Recipe, load_recipe
from memcli.distillation.schedule import TUNING_SHARE
from memcli.distillation.settings import RunSettings
from memcli.distillation.sizes import fitted, suited, usual
from memcli.errors import UsageError
from memcli.jobs.device import resolve
from memcli.memory.cells import wanted_cells
from memcli.memory.spec import MemorySpec
from memcli.progress import Progress, Silent
from memcli.ranks import ALONE, joined
from memcli.text import printable
from memcli.units import seconds, size_in_bytes

_FEW = 3  # images per class in numbers, below which more bases are worth more than fine ones (docs/log/)


@dataclass(frozen=True)
class Size:
    """What a memory may hold. What is None is chosen from the budget, and `cells` from the images too."""

    ipc: float | None = None  # the budget in numbers: those of so many images per class; 1 where none is given
    budget: str | None = None  # or in bytes of payload: "30KB", or "1ipc", the bytes of 1 image per class as float32
    bases: int | None = None  # K
    scale: int | None = None  # s: bases are stored smaller by this factor
    rows: int | None = None  # R: images recalled per class
    cells: int | None = None  # groups of pixels that share a number, in place of a grid; 0: a grid
    support: int = 0  # bases that each image is made of; 0: all of them
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
        kept = partial(MemorySpec.from_budget, data, storage=self.storage, labels=self.labels, support=self.support)
        return partial(kept, **self.limit(data))

    def spec(self, source: Source, recipe: Recipe) -> MemorySpec:
        """The memory of this size for `source`, to be learned by `recipe`.

        Where no part of the size is given, bases may be on cells, by the images: if the budget is small, best spent on
        bases of half their size otherwise, each image is made of all of them, and they start from data.
        """
        data = source.spec
        chosen = {"bases": self.bases, "scale": self.scale, "rows": self.rows}
        sized = partial(self.fitted(data), most_rows=recipe.most_rows(len(data.classes)), **chosen)
        spec = sized(cells=self.cells or 0)
        small = spec.scale == 2 and spec.ipc < _FEW
        if self._is_open and small and not self.support and recipe.start != "noise":
            (limit,) = self.limit(data).values()  # a pixel's cell takes a number of the budget, or a byte
            cells = wanted_cells(data, source.split("train"), data.height * data.width / limit)
            spec = sized(cells=cells) if cells else spec
        return spec

    @property
    def _is_open(self) -> bool:
        """Whether no part of the size is given but the budget."""
        return self.bases is self.scale is self.rows is self.cells is None

    def require_free(self) -> None:
        """Raise UsageError where a size is given that tuning chooses."""
        if self.support or not self._is_open:
            raise UsageError(
                "`tune` chooses bases, scale, cells and rows, and no support",
                do="Leave out `bases`, `scale`, `cells`, `support` and `rows`",
            )


@dataclass(frozen=True)
class Plan:
    """A distillation that is ready to begin: all that was asked for, resolved."""

    source: Source
    summary: Summary  # of the source
    size: Size
    recipe: Recipe
    spec: MemorySpec  # before tuning
    run: RunSettings
    began: float  # when the command did, by time.monotonic: the time budget is counted from there
    tune: bool
    progress: Progress

    def resolved(self) -> dict[str, Any]:
        """The settings as plain JSON."""
        data, replicas = self.source.spec.to_json(), self.run.replicas
        several = {"replicas": replicas} if replicas > 1 else {}
        found = {"recipe": self.recipe.to_json(), "memory": self.spec.to_json(), "seed": self.run.seed, "data": data}
        return {**found, **several}

    @property
    def alone(self) -> "Plan":
        """The same for this process by itself."""
        return replace(self, run=replace(self.run, ranks=ALONE))

    @property
    def tuning(self) -> RunSettings:
        """The share of the steps and of the time that tuning has."""
        steps, seconds = self.run.steps, self.run.time_budget
        return replace(
            self.run,
            steps=None if steps is None else max(1, round(TUNING_SHARE * steps)),
            time_budget=None if seconds is None else TUNING_SHARE * seconds,
        )


def prepared(
    source: Source | str | Path,
    *,
    size: Size,
    tune: bool = False,
    recipe: str | Path | Recipe | None = None,
    steps: int | None = None,
    time_budget: str | float | None = None,
    compile: bool | None = None,
    bfloat16: bool | None = None,
    replicas: int | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    zca: bool = False,
    download: bool = False,
    image_size: int | str | tuple[int, int] | None = None,
    fit: str = "crop",
    skip_damaged: int = 0,
    cache: str | Path | None = None,
    began: float | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Resolve what was asked for, and open and read the source. See `distill` for the arguments."""
    progress, began = progress or Silent(), time.monotonic() if began is None else began
    named = load_recipe(str(recipe)) if isinstance(recipe, str | Path) else recipe
    place = resolve(device) if isinstance(device, str) else device
    limit = seconds(time_budget) if isinstance(time_budget, str) else time_budget
    progress.begin("reading", None, "")
    opened = source
    if not isinstance(opened, Source):
        reading: dict[str, Any] = {"download": download, "image_size": image_size, "fit": fit}
        reading |= {"skip_damaged": skip_damaged, "cache": cache, "progress": progress}
        opened = open_source(str(opened), **reading)
    for note in opened.notes:
        progress.note(note)
    if named is None:
        learning = None if limit is None or steps is not None else limit * (1 - TUNING_SHARE * tune)
        named = RECIPES[usual(opened.spec, learning)]
    held = summary(opened, seed, named.holdout)
    if zca:
        opened = with_whitening(opened)
    if tune:
        size.require_free()
    many, plan = named.many, fitted(named, opened.spec)
    if many != plan.many:
        told = f"{len(opened.classes)} classes: recipe {many} takes the place of {printable(plan.name)}"
        progress.note(f"{told}, which names it as its many")
    spec = size.spec(opened, plan)
    if spec.cells and not (size.cells or tune):
        progress.note(
            f"bases on {spec.cells} cells, groups of pixels that vary alike: they hold what a larger grid does"
        )
    together = joined()
    replicas = together.size if replicas is None else replicas
    if replicas < together.size:
        raise UsageError(
            f"`replicas` is {replicas} for {together.size} processes", do="Give one or more for each process"
        )
    run = RunSettings(seed, place, steps, limit, compile, bfloat16, replicas, together)
    return Plan(opened, held, size, suited(plan, spec), spec, run, began, tune, progress)


def grouped(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` with those of the size put together. UsageError where one is unknown."""
    size = {name: settings.pop(name) for name in Size.__dataclass_fields__ if name in settings}
    known = prepared.__kwdefaults__ or {}
    if unknown := sorted(settings.keys() - known.keys()):
        names = ", ".join((*Size.__dataclass_fields__, *known))
        raise UsageError(f"there is no setting `{unknown[0]}`", do=f"Choose from {names}")
    return {"size": Size(**size), **settings}
