"""Objectives: what makes a memory good, and in which direction it should move. One file per objective."""

from memcli.objectives.base import Objective, Outcome, RealImages
from memcli.objectives.unrolled import UnrolledObjective

__all__ = ["Objective", "Outcome", "RealImages", "UnrolledObjective"]
