"""Inner optimisers: how a step moves the weights, and the adjoint of that step. One file each, one line below."""

from memcli.engine.optimisers.adam import Adam
from memcli.engine.optimisers.base import InnerOptimiserKind, Optimiser, Pulled, descend
from memcli.engine.optimisers.sgd import SGD
from memcli.registry import Registry

__all__ = ["INNER_OPTIMISERS", "SGD", "Adam", "InnerOptimiserKind", "Optimiser", "Pulled", "descend"]

INNER_OPTIMISERS: Registry[InnerOptimiserKind] = Registry(
    "inner optimiser",
    "memcli.inner_optimisers",
    {"sgd": "memcli.engine.optimisers.sgd:OPTIMISER", "adam": "memcli.engine.optimisers.adam:OPTIMISER"},
    "memcli.engine.optimisers.base:InnerOptimiserKind",
)
