"""The choice of K, s and R on validation: short runs of a few memories, of which the better half goes on each time."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from memcli.data.sources.base import Source
from memcli.data.spec import DataSpec
from memcli.distillation.loop import Distillation, follow
from memcli.distillation.recipe import Recipe
from memcli.distillation.schedule import TUNING_SHARE, Schedule
from memcli.distillation.speed import how_steps_run
from memcli.errors import UsageError
from memcli.memory.spec import MemorySpec
from memcli.progress import Progress, Silent

_SHARES_OF_BASES = (0.2, 0.4, 0.6, 0.8, 0.9)  # of the bases that fit beside one row, among the candidates


Place = tuple[int, MemorySpec]  # of a trial: its round, and its candidate


@dataclass(frozen=True)
class Tried:
    """A candidate, the outer steps that it was given, and the best validation accuracy within them, in [0, 1]."""

    spec: MemorySpec
    steps: int
    accuracy: float


def candidates(data: DataSpec, fitted: Callable[..., MemorySpec]) -> tuple[MemorySpec, ...]:
    """Memories within a budget: bases at full, half and quarter size, on several shares of it.

    `fitted(bases=, scale=, rows=)` is `MemorySpec.from_budget` with all else given; UsageError where nothing fits.
    """
    found: list[MemorySpec] = []
    for scale in (1, 2, 4):
        if data.height % scale or data.width % scale or min(data.height, data.width) // scale < 4:
            continue
        try:
            most = fitted(scale=scale, rows=1).bases
        except UsageError:  # not even one basis of this size
            continue
        for share in _SHARES_OF_BASES:
            bases = max(round(share * most), 1)
            spec = fitted(bases=bases, scale=scale)
            if bases <= math.prod(spec.base_shape) and spec not in found:
                found.append(spec)
    return tuple(found)


def tune(
    source: Source,
    specs: Sequence[MemorySpec],
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    steps: int | None = None,
    time_budget: float | None = None,
    compile: bool | None = None,
    bfloat16: bool | None = None,
    progress: Progress | None = None,
    known: Mapping[Place, Tried] | None = None,
    record: Callable[[Place, Tried], None] | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> tuple[Tried, ...]:
    """Successive halving over `specs`: the trials, best first.

    Every candidate gets an equal part of a round's steps and seconds; the better half starts the next round, of twice
    the length. All rounds take `steps` outer steps or `time_budget` seconds together, whichever ends first; with
    neither, TUNING_SHARE of the recipe's steps. The same steps give the same choice. Steps run as those of a
    distillation as long as the trial do: see `learn` for `compile` and `bfloat16`.

    `record` is given every trial when it ends, with its round and candidate; trials that are `known`, from an
    earlier process, are not made again. Raises UsageError where there is no candidate, Interrupted where
    `interrupted()` turns true.
    """
    if not specs:
        raise UsageError("no memory fits the budget", do="Give a larger `ipc` or `budget`")
    if steps is None and time_budget is None:
        steps = max(1, round(TUNING_SHARE * recipe.steps))
    progress, device = progress or Silent(), device or torch.device("cpu")
    how = compile, bfloat16, interrupted
    rounds, left, tried = max(1, (len(specs) - 1).bit_length()), list(specs), dict[MemorySpec, Tried]()
    progress.begin("tuning", float(rounds), "rounds")
    for number in range(rounds):
        each_steps = None if steps is None else max(1, steps // (rounds * len(left)))
        each_seconds = None if time_budget is None else time_budget / (rounds * len(left))
        for spec in left:
            place = (number, spec)
            if known and place in known:
                tried[spec] = known[place]
                continue
            tried[spec] = _trial(source, spec, recipe, seed, device, each_steps, each_seconds, *how)
            if record is not None:
                record(place, tried[spec])
        left = sorted(left, key=lambda spec: -tried[spec].accuracy)[: (len(left) + 1) // 2]
        progress.update(number + 1, best=tried[left[0]].accuracy)
    progress.end()
    return tuple(sorted(tried.values(), key=lambda one: (one.spec not in left, -one.steps, -one.accuracy)))


def _trial(
    source: Source,
    spec: MemorySpec,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    steps: int | None,
    seconds: float | None,
    compile: bool | None,
    bfloat16: bool | None,
    interrupted: Callable[[], bool],
) -> Tried:
    began = time.monotonic()
    compile, bfloat16 = how_steps_run(compile, bfloat16, spec, recipe, device, steps, seconds, Silent())
    work = Distillation(source, spec, recipe, seed=seed, device=device, compile=compile, bfloat16=bfloat16)
    follow(work, Schedule.of(recipe, steps, seconds), began, Silent(), interrupted=interrupted)
    return Tried(spec, work.loop.step, work.loop.best_accuracy)
