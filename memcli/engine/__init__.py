"""Exact differentiation through training. Knows tensors and callables only: no memories, networks or files.

`InnerProblem` says what is trained and how; an `Adjoint` differentiates an outer loss of its result with respect to
the controls. Every adjoint gives the same gradient, at another cost.
"""

from memcli.engine.adjoint import Adjoint, OuterGradient
from memcli.engine.direct import Direct
from memcli.engine.optimiser import SGD
from memcli.engine.problem import InnerProblem
from memcli.engine.stored import Stored

__all__ = ["SGD", "Adjoint", "Direct", "InnerProblem", "OuterGradient", "Stored"]
