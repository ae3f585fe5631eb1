"""Objectives: what makes a memory good, and in which direction it should move. One file per objective."""

import torch

from memcli.data.real import RealImages
from memcli.memory.spec import MemorySpec
from memcli.objectives.base import Objective, Outcome
from memcli.objectives.ridge import Ridge, RidgeObjective
from memcli.objectives.unrolled import Unrolled, UnrolledObjective

__all__ = ["Objective", "Outcome", "RealImages", "RidgeObjective", "UnrolledObjective", "objective"]


def objective(
    settings: Unrolled | Ridge,
    spec: MemorySpec,
    device: torch.device,
    *,
    compile: bool = False,
    bfloat16: bool = False,
) -> Objective:
    """The objective that `settings` are of, for memories of `spec`.

    Where it can do that, its steps are compiled, and their convolutions done in bfloat16.
    """
    if isinstance(settings, Ridge):
        return RidgeObjective(settings, spec, device)
    return UnrolledObjective(settings, spec, device, compile=compile, bfloat16=bfloat16)
