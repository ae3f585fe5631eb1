"""Outer optimisers: how a memory moves along its gradient. One file each, one line below."""

from memcli.distillation.optimisers.base import Movers, OuterOptimiserKind
from memcli.registry import Registry

__all__ = ["OUTER_OPTIMISERS", "Movers", "OuterOptimiserKind"]

OUTER_OPTIMISERS: Registry[OuterOptimiserKind] = Registry(
    "outer optimiser",
    "memcli.outer_optimisers",
    {
        "adam": "memcli.distillation.optimisers.adam:OPTIMISER",
        "muon": "memcli.distillation.optimisers.muon:OPTIMISER",
        "sgd": "memcli.distillation.optimisers.sgd:OPTIMISER",
    },
    "memcli.distillation.optimisers.base:OuterOptimiserKind",
)
