"""The choice of K, s and R on validation: short runs of several memories; the better half enters each next round."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from memcli.data.sources.base import Source
from memcli.data.spec import DataSpec
from memcli.distillation.loop import Distillation, follow
from memcli.distillation.recipe import Recipe
from memcli.distillation.schedule import TUNING_SHARE, Schedule
from memcli.distillation.settings import DEFAULTS, RunSettings
from memcli.distillation.speed import decided
from memcli.errors import UsageError
from memcli.memory.spec import MemorySpec
from memcli.progress import Progress, Silent

_SCALES = {1: 4, 2: 4, 4: 4, 8: 8}  # what is tried, and the least side of such bases: an eighth from 64x64 on
_SHARES_OF_BASES = (0.2, 0.4, 0.6, 0.8, 0.9)  # of the bases that fit together with one row


Place = tuple[int, MemorySpec]  # the round of a trial, and its candidate


@dataclass(frozen=True)
class Tried:
    """A candidate, the outer steps that it was given, and the best validation accuracy within them, in [0, 1]."""

    spec: MemorySpec
    steps: int
    accuracy: float


def candidates(data: DataSpec, fitted: Callable[..., MemorySpec]) -> tuple[MemorySpec, ...]:
    """Memories within a budget: bases of whole, half, quarter and eighth size, with several shares of it.

    `fitted(bases=, scale=, rows=)` is `MemorySpec.from_budget` with all else given: it raises UsageError where nothing
    fits.
    """
    specs: list[MemorySpec] = []
    for scale, least in _SCALES.items():
        if data.height % scale or data.width % scale or min(data.height, data.width) // scale < least:
            continue
        try:
            most = fitted(scale=scale, rows=1).bases
        except UsageError:  # not even one basis of this size
            continue
        for share in _SHARES_OF_BASES:
            bases = max(round(share * most), 1)
            spec = fitted(bases=bases, scale=scale)
            if bases <= math.prod(spec.base_shape) and spec not in specs:
                specs.append(spec)
    return tuple(specs)


def tune(
    source: Source,
    specs: Sequence[MemorySpec],
    recipe: Recipe,
    settings: RunSettings = DEFAULTS,
    *,
    progress: Progress | None = None,
    known: Mapping[Place, Tried] | None = None,
    record: Callable[[Place, Tried], None] | None = None,
) -> tuple[Tried, ...]:
    """Successive halving over `specs`: the trials, best first.

    Every candidate gets an equal part of a round's steps and seconds; the better half starts the next round, of twice
    the length. All rounds take `steps` outer steps or `time_budget` seconds together, whichever ends first; with
    neither, TUNING_SHARE of the recipe's steps. The same steps give the same choice. Steps run as in a distillation of
    the trial's length: see `learn` for `compile` and `bfloat16`.

    `record` is given every trial when it ends, with its round and candidate; trials that are `known`, from an
    earlier process, are not made again. Where not all candidates can be tried in half of the time, fewer are, evenly
    spread. Raises UsageError where there is no candidate, Interrupted where Stopped is raised.
    """
    if not specs:
        raise UsageError("no memory fits the budget", do="Give a larger `ipc` or `budget`")
    steps, time_budget = settings.steps, settings.time_budget
    if steps is None and time_budget is None:
        steps = max(1, round(TUNING_SHARE * recipe.steps))
    progress = progress or Silent()
    progress.begin("tuning", None, "trials")
    began, left, tried, trials = time.monotonic(), list(specs), dict[MemorySpec, Tried](), 0
    if time_budget is not None:
        _trial(source, left[0], recipe, replace(settings, time_budget=0.0))  # how long the shortest takes
        left = _spread(left, time_budget / (4 * (time.monotonic() - began)))
    rounds = max(1, (len(left) - 1).bit_length())
    for number in range(rounds):
        each_steps = None if steps is None else max(1, steps // (rounds * len(left)))
        for place, spec in enumerate(left):
            trial = (number, spec)
            if known and trial in known:
                tried[spec] = known[trial]
                continue
            each_seconds = None
            if time_budget is not None:
                spent = time.monotonic() - began
                each_seconds = max(time_budget * (number + 1) / rounds - spent, 0.0) / (len(left) - place)
            tried[spec] = _trial(source, spec, recipe, replace(settings, steps=each_steps, time_budget=each_seconds))
            if record is not None:
                record(trial, tried[spec])
            trials += 1
            progress.update(trials, look=tried[spec].accuracy, best_look=max(one.accuracy for one in tried.values()))
        left = sorted(left, key=lambda spec: -tried[spec].accuracy)[: (len(left) + 1) // 2]
    progress.end()
    return tuple(sorted(tried.values(), key=lambda trial: (trial.spec not in left, -trial.steps, -trial.accuracy)))


def _spread(specs: list[MemorySpec], most: float) -> list[MemorySpec]:
    """`most` of `specs`, and at least 2, evenly spread."""
    count = min(len(specs), max(2, int(most)))
    return [specs[round(place * (len(specs) - 1) / max(count - 1, 1))] for place in range(count)]


def _trial(source: Source, spec: MemorySpec, recipe: Recipe, settings: RunSettings) -> Tried:
    began = time.monotonic()
    recipe = replace(recipe, start="data") if recipe.start == "easy" else recipe  # or each trial would judge images
    work = Distillation(source, spec, recipe, decided(settings, spec, recipe, Silent()))
    work.loop.entered_at = time.monotonic() - began
    follow(work, Schedule.of(recipe, settings.steps, settings.time_budget), began, Silent())
    return Tried(spec, work.loop.step, work.loop.best_accuracy)
