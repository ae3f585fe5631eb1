"""Inner optimisers: how a step moves the weights, and the same step seen backwards. One file each."""

from memcli.engine.optimisers.adam import Adam
from memcli.engine.optimisers.base import Optimiser, Pulled, descend
from memcli.engine.optimisers.sgd import SGD

__all__ = ["SGD", "Adam", "Optimiser", "Pulled", "descend"]
