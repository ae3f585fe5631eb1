"""The interface of outer optimisers: they move the parts of a memory, and the logarithm of the inner rate."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.optim import Optimizer

Movers = list[tuple[Optimizer, dict[str, Tensor]]]  # optimisers, each with the tensors that it moves, by name


@dataclass(frozen=True)
class OuterOptimiserKind:
    """An outer optimiser as a recipe names it: one line of the registry, or the entry point of a plug-in.

    `make(parts, lr, momentum)` divides the parts among optimisers of torch: bases, (K, C, h, w) or (K, C, cells),
    addresses, (R, classes, K), labels where they are learned, and log_lr, a scalar. An optimiser may move a view
    of a part, under the part's name. The outer loop sets the rate of every group before each step, and keeps the
    states of the optimisers in checkpoints, so that they must be tensors.
    """

    make: Callable[[dict[str, Tensor], float, float], Movers]
