"""What a distillation would need: first counted, so that too large a one is refused, then measured in a few steps."""

import math
import time
from dataclasses import dataclass, field

import torch

from memcli import machine
from memcli.data.sources.base import Source
from memcli.distillation.beside import Beside, beside
from memcli.distillation.loop import Distillation
from memcli.distillation.recipe import Recipe
from memcli.distillation.schedule import CLOSING, JUDGING_SHARE, TUNING_SHARE, reserved
from memcli.distillation.settings import DEFAULTS, RunSettings
from memcli.engine import peak_memory
from memcli.errors import LimitError
from memcli.files.checkpoints import GENERATIONS
from memcli.files.memoryfile import stored
from memcli.memory.spec import MemorySpec
from memcli.networks.cost import cost
from memcli.progress import Progress, Silent
from memcli.training import choose
from memcli.training.loop import images_at_once

_FRAGMENTS = 1.12  # by which the heap, which gives nothing back, grows after its first steps: by 1 to 25 % (docs/log/)
_COPIES = 5  # of the memory's numbers, in a checkpoint
_KEPT = 3  # copies of an image's activations that a step holds at least: values, gradients, and second derivatives


@dataclass(frozen=True)
class Needs:
    """What a distillation would need."""

    seconds: float  # of the whole command, or the time budget where that ends it
    seconds_per_step: float  # of an outer step, mean over the stages
    peak_bytes: int  # of memory: the GPU's where one is used
    parts: dict[str, float] = field(default_factory=dict)  # seconds of each part of the command


def estimate(
    source: Source,
    spec: MemorySpec,
    recipe: Recipe,
    settings: RunSettings = DEFAULTS,
    *,
    tune: bool = False,
    began: float | None = None,
    progress: Progress | None = None,
) -> Needs:
    """What `learn` would need, measured in two steps a stage, one look and a part of one retraining.

    The steps are those that `learn` would make: compiled, by another process where it would, and in bfloat16. `began`:
    when the command did, by time.monotonic. Raises LimitError where memory will not suffice.
    """
    clock = _Clock(time.monotonic() if began is None else began)
    require_memory(spec, recipe, settings.device)
    steps, budget, device = settings.steps, settings.time_budget, settings.device
    parts, progress = {"reading": clock.lap()}, progress or Silent()
    progress.begin("measuring", 2 * len(recipe.stages) + 2, "parts")
    settings, other = _compiled(spec, recipe, settings, progress)
    if other is not None:
        clock.lap()  # a run learns in that time
    work = Distillation(source, spec, recipe.unjudged(), settings, beside=other)  # judging is counted instead of done
    parts |= {"starting": clock.lap() + _judging(work, recipe), "first steps": 0.0}
    clock.lap()
    each = []
    for number, stage in enumerate(recipe.stages):
        progress.busy(f"first step, {stage.kind}")
        first = _step(work, clock)  # compiles, chooses kernels, begins the pool
        progress.update(2 * number + 1)
        each.append(_step(work, clock))
        parts["first steps"] += len(stage.objective.turns) * max(first - each[-1], 0.0)
        work.enter_next()
        progress.update(2 * number + 2)
    progress.busy("a look at validation images")
    work.look()
    look = clock.lap()
    progress.busy("retraining")
    pace = choose.pace(stored(work.loop.average.memory), recipe.retrain, work.validation)
    progress.end()
    per_step = sum(seconds * stage.steps for seconds, stage in zip(each, recipe.stages, strict=True)) / recipe.steps
    wanted = recipe.steps if steps is None and budget is None else steps or math.inf
    share = wanted / recipe.steps
    looks = 1 + sum(math.ceil(share * stage.steps / stage.check_every) for stage in recipe.stages if share < math.inf)
    parts |= {
        "learning": per_step * wanted,
        "looks": look * looks if wanted < math.inf else math.inf,
        "choosing how to retrain": pace.whole_choice(recipe.retrain)
        if budget is None
        else reserved(pace, recipe, budget),
        "writing": CLOSING,
    }
    if tune:
        parts["tuning"] = TUNING_SHARE * (parts["learning"] + parts["looks"])
    parts = _within(parts, budget)
    peak = round((1.0 if device.type == "cuda" else _FRAGMENTS) * peak_memory(device))
    return Needs(sum(parts.values()), per_step, peak + (other.peak_bytes if other else 0), parts)


def _compiled(
    spec: MemorySpec, recipe: Recipe, settings: RunSettings, progress: Progress
) -> tuple[RunSettings, Beside | None]:
    """`settings` decided, and the process that has compiled beside where one would."""
    with beside(spec, recipe, settings, Silent()) as (chosen, other):
        if other is not None:
            progress.busy("compiling")
            other.wait()
    return chosen, other


class _Clock:
    def __init__(self, began: float) -> None:
        self._last = began

    def lap(self) -> float:
        """The seconds since the last lap."""
        now, last = time.monotonic(), self._last
        self._last = now
        return now - last


def _judging(work: Distillation, recipe: Recipe) -> float:
    """Seconds that telling easy images takes, if the recipe starts from them."""
    settings = work.settings
    if recipe.start != "easy":
        return 0.0
    most = math.inf if settings.time_budget is None else JUDGING_SHARE * settings.time_budget
    return min(most, work.judge.seconds())


def _step(work: Distillation, clock: _Clock) -> float:
    """Seconds of a step, the mean over one of each family of networks."""
    turns = len(work.stage.objective.turns)
    for _ in range(turns):
        work.move(0.0)
    return clock.lap() / turns


def _within(parts: dict[str, float], budget: float | None) -> dict[str, float]:
    """`parts` cut to the time budget: the time goes to learning and its looks until the budget is over."""
    if budget is None or sum(parts.values()) <= budget:
        return parts
    fixed = sum(seconds for name, seconds in parts.items() if name not in ("learning", "looks", "tuning"))
    left = max(budget - fixed, 0.0)
    tuning = {"tuning": TUNING_SHARE * left} if "tuning" in parts else {}
    kept = {name: seconds for name, seconds in parts.items() if name not in ("looks", "tuning")}
    return {**kept, **tuning, "learning": left - sum(tuning.values())}


def disk_bytes(spec: MemorySpec, recipe: Recipe, replicas: int = 1) -> int:
    """About how many bytes of disk a run takes: its file, and its checkpoints with the one that is being written.

    A checkpoint holds the point, its average, the best one and two moments of the first, and the trainings of the pool
    with their momentum, for each of the `replicas` of a step.
    """
    pools = [0]
    for stage in recipe.stages:
        if places := getattr(stage.objective, "pool", 0):
            needs = [cost(turn.network, spec.data) for turn in stage.objective.turns]
            numbers = sum(each.parameters for each in needs if each is not None)
            pools.append(2 * 4 * places * getattr(stage.objective, "networks", 1) * numbers)
    checkpoint = _COPIES * 4 * spec.floats + replicas * max(pools)
    return spec.bytes + (GENERATIONS + 1) * checkpoint


def require_memory(spec: MemorySpec, recipe: Recipe, device: torch.device) -> None:
    """Raise LimitError where a step, or a pass of a test, would need more memory than there is.

    Counted from the outputs of the layers, and no more than will be needed at least. A GPU's memory is not counted.
    """
    available = machine.available_memory()
    if device.type == "cuda" or available is None:
        return
    data, trainings = spec.data, (recipe.check, recipe.retrain)
    needed, classes = 0, len(data.classes)
    for training in trainings:
        if counted := cost(training.network, data):
            images = training.images(classes)
            needed = max(needed, images_at_once(data, device) * counted.largest, _KEPT * images * counted.outputs)
    for turn in (turn for stage in recipe.stages for turn in stage.objective.turns):
        if counted := cost(turn.network, data):
            needed = max(needed, _KEPT * turn.recalled_images(classes) * counted.outputs)
    if needed > available:
        raise LimitError(
            f"{needed / 2**20:,.0f} MiB of memory are needed at least, and {available / 2**20:,.0f} MiB are free",
            do="Give a smaller `image_size`, a `recipe` with smaller networks, or a machine with more memory",
        )
