"""Exact differentiation through training. Knows tensors and callables only: no memories, networks or files.

`InnerProblem` says what is trained and how; an `Adjoint` differentiates an outer loss of its result with respect to
the controls, and to the rate if asked. Every adjoint gives the same gradient, at another cost; so do all
`Derivatives`, which differentiate one step. docs/derivations/adjoint.md has the mathematics.

No recipe reaches `Direct`, `Checkpointed`, `ForwardOverReverse` or `Fastest`: they are references, which tests compare
the others with and examples/benchmarks/bench_engine.py times.
"""

from memcli.engine.adjoints.base import Adjoint, OuterGradient, OuterLoss
from memcli.engine.adjoints.checkpointed import Checkpointed
from memcli.engine.adjoints.direct import Direct
from memcli.engine.adjoints.stored import Stored
from memcli.engine.adjoints.windowed import Windowed
from memcli.engine.compiling.backends import Backend, captured, compiled, quickest, replayed, why_not_compiled
from memcli.engine.compiling.packing import Packing
from memcli.engine.compiling.precision import in_bfloat16, precision, quick_in_bfloat16
from memcli.engine.derivatives.base import Derivatives, Direction, Loss, Products
from memcli.engine.derivatives.fastest import Fastest
from memcli.engine.derivatives.forward import ForwardOverReverse
from memcli.engine.derivatives.pieces import InPieces
from memcli.engine.derivatives.reverse import ReverseOverReverse
from memcli.engine.derivatives.traced import Traced, TracedLoss
from memcli.engine.functional import Functional
from memcli.engine.optimisers import INNER_OPTIMISERS, SGD, Adam, InnerOptimiserKind, Optimiser
from memcli.engine.problem import InnerProblem
from memcli.engine.tensors import Tensors, free_cache, peak_memory

__all__ = [
    "INNER_OPTIMISERS",
    "SGD",
    "Adam",
    "Adjoint",
    "Backend",
    "Checkpointed",
    "Derivatives",
    "Direct",
    "Direction",
    "Fastest",
    "ForwardOverReverse",
    "Functional",
    "InPieces",
    "InnerOptimiserKind",
    "InnerProblem",
    "Loss",
    "Optimiser",
    "OuterGradient",
    "OuterLoss",
    "Packing",
    "Products",
    "ReverseOverReverse",
    "Stored",
    "Tensors",
    "Traced",
    "TracedLoss",
    "Windowed",
    "captured",
    "compiled",
    "free_cache",
    "in_bfloat16",
    "peak_memory",
    "precision",
    "quick_in_bfloat16",
    "quickest",
    "replayed",
    "why_not_compiled",
]
