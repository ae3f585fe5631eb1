"""Objectives: how good a memory is, and the gradient that makes it better. One file each, one line below."""

from memcli.data.real import RealImages
from memcli.objectives.base import Objective, ObjectiveKind, ObjectiveSettings, Outcome
from memcli.objectives.ridge import RidgeObjective
from memcli.objectives.unrolled import UnrolledObjective
from memcli.registry import Registry

__all__ = [
    "OBJECTIVES",
    "Objective",
    "ObjectiveKind",
    "ObjectiveSettings",
    "Outcome",
    "RealImages",
    "RidgeObjective",
    "UnrolledObjective",
]

OBJECTIVES: Registry[ObjectiveKind] = Registry(
    "objective",
    "memcli.objectives",
    {
        "unrolled": "memcli.objectives.unrolled:OBJECTIVE",
        "ridge": "memcli.objectives.ridge:OBJECTIVE",
        "matching": "memcli.objectives.matching:OBJECTIVE",
        "features": "memcli.objectives.features:OBJECTIVE",
    },
    "memcli.objectives.base:ObjectiveKind",
)
