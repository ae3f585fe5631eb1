"""Objectives: what makes a memory good, and in which direction it should move. One file per objective."""

import torch

from memcli.objectives.base import Objective, Outcome, RealImages
from memcli.objectives.ridge import RidgeObjective
from memcli.objectives.unrolled import UnrolledObjective
from memcli.recipe import Ridge, Unrolled
from memcli.spec import MemorySpec

__all__ = ["Objective", "Outcome", "RealImages", "RidgeObjective", "UnrolledObjective", "objective"]


def objective(
    settings: Unrolled | Ridge, spec: MemorySpec, device: torch.device, *, compile: bool = False
) -> Objective:
    """The objective that `settings` are of, for memories of `spec`; with its steps compiled, where it can do that."""
    if isinstance(settings, Ridge):
        return RidgeObjective(settings, spec, device)
    return UnrolledObjective(settings, spec, device, compile=compile)
