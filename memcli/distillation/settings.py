"""How a distillation runs, whatever it learns: its draws, its device, its length, and how its steps are computed."""

from dataclasses import dataclass

import torch

from memcli.ranks import ALONE, Ranks

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class RunSettings:
    """The settings that learning, tuning and their estimate share."""

    seed: int = 0  # the root of all random choices
    device: torch.device = _CPU
    steps: int | None = None  # outer steps
    time_budget: float | None = None  # seconds; with neither this nor `steps`, the recipe's steps
    compile: bool | None = None  # whether steps are compiled; None: where the run is long enough and the machine can
    bfloat16: bool | None = None  # whether their convolutions are done so; None: where compiled steps are quicker by it
    replicas: int = 1  # how often a step is computed, each time on draws of its own; the gradient is their mean
    ranks: Ranks = ALONE  # who computes them


DEFAULTS = RunSettings()
