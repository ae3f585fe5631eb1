"""What is differentiated: T steps of training from given weights, steered by controls."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from memcli.engine.optimiser import SGD, Tensors


@dataclass(frozen=True)
class InnerProblem:
    """Training whose result depends on `controls`.

    `loss(params, controls, t)` is the scalar training loss of step t. It must be pure in t: called again with the same
    arguments it gives the same value, so that a step can be replayed from its weights alone.
    """

    initial: Tensors  # θ_0
    controls: Tensors  # what the outer gradient is taken with respect to
    loss: Callable[[Tensors, Tensors, int], Tensor]
    steps: int  # T
    optimiser: SGD

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"`steps` must be 0 or more, not {self.steps}")
