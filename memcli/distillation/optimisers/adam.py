"""Adam: every part alike."""

import torch
from torch import Tensor

from memcli.distillation.optimisers.base import Movers, OuterOptimiserKind


def adam(parts: dict[str, Tensor], lr: float, momentum: float) -> Movers:
    """`momentum` is the first beta."""
    return [(torch.optim.Adam(list(parts.values()), lr=lr, betas=(momentum, 0.999)), parts)]


OPTIMISER = OuterOptimiserKind(adam)
