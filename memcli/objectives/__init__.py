"""Objectives: what makes a memory good, and in which direction it should move.

One file per objective, one line here.
"""

from memcli.objectives.base import Objective, Outcome, RealImages
from memcli.objectives.unrolled import UnrolledObjective

OBJECTIVES = {"unrolled": UnrolledObjective}

__all__ = ["OBJECTIVES", "Objective", "Outcome", "RealImages", "UnrolledObjective"]
