"""The choice of K, s and R on validation: short runs of several memories; the better half enters each next round."""

import json
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
from memcli.ranks import ALONE

_SCALES = {1: 4, 2: 4, 4: 4, 8: 8}  # what is tried, and the least side of such bases: an eighth from 64x64 on
_SHARES_OF_BASES = (0.2, 0.4, 0.6, 0.8, 0.9)  # of the bases that fit together with one row


Place = tuple[int, MemorySpec]  # the round of a trial, and its candidate


@dataclass(frozen=True)
class Tried:
    """A candidate, the outer steps that it was given, and the best validation accuracy within them, in [0, 1]."""

    spec: MemorySpec
    steps: int
    accuracy: float


def candidates(data: DataSpec, fitted: Callable[..., MemorySpec], cells: int = 0) -> tuple[MemorySpec, ...]:
    """Memories within a budget: bases of whole, half, quarter and eighth size, with several shares of it.

    And bases on so many `cells`, unless these are 0. `fitted(bases=, scale=, rows=, cells=)` is
    `MemorySpec.from_budget` with all else given: it raises UsageError where nothing fits.
    """
    divided = [scale for scale in _SCALES if not (data.height % scale or data.width % scale)]
    scales = [scale for scale in divided if min(data.height, data.width) // scale >= _SCALES[scale]]
    specs: list[MemorySpec] = []
    for place in [*({"scale": scale} for scale in scales), *([{"scale": 1, "cells": cells}] if cells else [])]:
        try:
            most = fitted(**place, rows=1).bases
        except UsageError:  # not even one basis of this size
            continue
        for share in _SHARES_OF_BASES:
            bases = max(round(share * most), 1)
            spec = fitted(**place, bases=bases)
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
    over: bool = False,
    record: Callable[[Place, Tried], None] | None = None,
) -> tuple[Tried, ...]:
    """Successive halving over `specs`: the trials, best first.

    Every candidate gets an equal part of a round's steps and seconds; the better half starts the next round, of twice
    the length. All rounds take `steps` outer steps or `time_budget` seconds together, whichever ends first; with
    neither, TUNING_SHARE of the recipe's steps. The same steps give the same choice. Steps run as in a distillation of
    the trial's length: see `learn` for `compile` and `bfloat16`.

    `record` is given every trial when it ends, with its round and candidate; trials that are `known`, from an
    earlier process, are not made again. Several ranks make trials abreast, each by itself, and all return the same; all
    of them must know the same. Where not all candidates can be tried in half of the time, fewer are, evenly
    spread; where an earlier process got through its first round, or is `over`, they are those that it tried. Raises
    UsageError where there is no candidate, Interrupted where Stopped is raised.
    """
    if not specs:
        raise UsageError("no memory fits the budget", do="Give a larger `ipc` or `budget`")
    steps, time_budget = settings.steps, settings.time_budget
    if steps is None and time_budget is None:
        steps = max(1, round(TUNING_SHARE * recipe.steps))
    progress = progress or Silent()
    progress.begin("tuning", None, "trials")
    ranks, known = settings.ranks, known or {}
    began, tried, trials = time.monotonic(), dict[MemorySpec, Tried](), 0
    left = [spec for spec in specs if (0, spec) in known] if over or any(number for number, _ in known) else []
    left = left or _afforded(source, specs, recipe, settings)
    rounds = max(1, (len(left) - 1).bit_length())
    for number in range(rounds):
        each_steps, each_seconds = None if steps is None else max(1, steps // (rounds * len(left))), None
        tried |= {spec: known[number, spec] for spec in left if (number, spec) in known}
        to_try = [spec for spec in left if (number, spec) not in known]
        while to_try:
            if time_budget is not None:
                spent = time.monotonic() - began
                each_seconds = max(time_budget * (number + 1) / rounds - spent, 0.0) / math.ceil(
                    len(to_try) / ranks.size
                )
            abreast, to_try = to_try[: ranks.size], to_try[ranks.size :]
            length = replace(settings, steps=each_steps, time_budget=each_seconds)
            for trial in _trials(source, abreast, recipe, length):
                tried[trial.spec] = trial
                if record is not None:
                    record((number, trial.spec), trial)
                trials += 1
                best = max(one.accuracy for one in tried.values())
                progress.update(trials, look=trial.accuracy, best_look=best)
        left = sorted(left, key=lambda spec: -tried[spec].accuracy)[: (len(left) + 1) // 2]
    progress.end()
    return tuple(sorted(tried.values(), key=lambda trial: (trial.spec not in left, -trial.steps, -trial.accuracy)))


def _afforded(source: Source, specs: Sequence[MemorySpec], recipe: Recipe, settings: RunSettings) -> list[MemorySpec]:
    """Those of `specs` that time suffices for."""
    budget, ranks, began = settings.time_budget, settings.ranks, time.monotonic()
    if budget is None:
        return list(specs)
    _trial(source, specs[0], recipe, replace(settings, time_budget=0.0))  # how long the shortest takes
    (shortest,) = ranks.agreed(time.monotonic() - began, stops=False)
    return _spread(list(specs), ranks.size * budget / (4 * shortest))


def _spread(specs: list[MemorySpec], most: float) -> list[MemorySpec]:
    """`most` of `specs`, and at least 2, evenly spread."""
    count = min(len(specs), max(2, int(most)))
    return [specs[round(place * (len(specs) - 1) / max(count - 1, 1))] for place in range(count)]


def _trials(source: Source, specs: list[MemorySpec], recipe: Recipe, settings: RunSettings) -> list[Tried]:
    """The trials of `specs`, no more than there are ranks: each makes the one of its number, and all have all."""
    ranks, said = settings.ranks, ""
    for spec in specs[ranks.rank : ranks.rank + 1]:
        made = _trial(source, spec, recipe, settings)
        said = json.dumps([made.steps, made.accuracy])
    return [Tried(spec, *json.loads(text)) for spec, text in zip(specs, ranks.all_said(said), strict=False)]


def _trial(source: Source, spec: MemorySpec, recipe: Recipe, settings: RunSettings) -> Tried:
    """A short run of one rank by itself."""
    began, settings = time.monotonic(), replace(settings, ranks=ALONE)
    recipe = recipe.unjudged()  # or each trial would judge images
    work = Distillation(source, spec, recipe, decided(settings, spec, recipe, Silent()))
    work.loop.entered_at = time.monotonic() - began
    follow(work, Schedule.of(recipe, settings.steps, settings.time_budget), began, Silent())
    return Tried(spec, work.loop.step, work.loop.best_accuracy)
