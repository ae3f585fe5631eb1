"""Whether the steps of a distillation are compiled, and rounded to bfloat16, where that is left to the machine."""

from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from memcli.distillation.recipe import Recipe, Stage
from memcli.distillation.settings import RunSettings
from memcli.engine import quick_in_bfloat16, why_not_compiled
from memcli.memory.spec import MemorySpec
from memcli.networks import build
from memcli.progress import Progress

_LEAST_COMPILED = 180.0  # seconds that a run takes for compiling, which takes 20 to 40, to pay
_PASSES = 12  # through the network for each recalled image
_FLOPS = {"cpu": 5e10, "cuda": 1e13}  # a second, not compiled: two cores, an H200 (docs/performance.md, log)


def decided(
    settings: RunSettings, spec: MemorySpec, recipe: Recipe, progress: Progress, *, tried: bool = True
) -> RunSettings:
    """`settings` with `compile` and `bfloat16` decided, where None leaves them to the machine.

    `tried`: by compiling something. Otherwise a run that would gain is to be compiled, whether that can be or not.
    """
    compile, bfloat16 = settings.compile, settings.bfloat16
    if compile is None:
        compile = _pays(settings, spec, recipe) and (not tried or _works(settings.device, progress))
    if bfloat16 is None:
        bfloat16 = compile and quick_in_bfloat16(settings.device)
    return replace(settings, compile=compile, bfloat16=bfloat16)


def _pays(settings: RunSettings, spec: MemorySpec, recipe: Recipe) -> bool:
    """Whether compiling pays: by the time budget; without one by counted operations, which equal steps have alike."""
    seconds, device = settings.time_budget, settings.device
    if seconds is None:
        share = 1.0 if settings.steps is None else settings.steps / recipe.steps
        seconds = share * sum(stage.steps * _seconds(stage, spec, device) for stage in recipe.stages)
    return seconds >= _LEAST_COMPILED


def _works(device: torch.device, progress: Progress) -> bool:
    """Whether this machine can compile; where it cannot, a note says why."""
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
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        for turn in settings.turns:
            build(turn.network, spec.data, seed=0)(torch.zeros(1, *spec.data.shape))
    of_image = _PASSES * counter.get_total_flops() / len(settings.turns)
    return of_image * images / _FLOPS["cuda" if device.type == "cuda" else "cpu"]
