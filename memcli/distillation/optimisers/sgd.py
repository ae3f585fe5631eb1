"""Stochastic gradient descent with momentum: every part alike."""

import torch
from torch import Tensor

from memcli.distillation.optimisers.base import Movers, OuterOptimiserKind


def sgd(parts: dict[str, Tensor], lr: float, momentum: float) -> Movers:
    return [(torch.optim.SGD(list(parts.values()), lr=lr, momentum=momentum), parts)]


OPTIMISER = OuterOptimiserKind(sgd)
