"""What is differentiated: T steps of training from given weights, steered by controls."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from memcli.engine.derivatives.base import Derivatives
from memcli.engine.optimisers import Optimiser
from memcli.engine.tensors import Tensors


@dataclass(frozen=True, eq=False)  # tensors have no single equality
class InnerProblem:
    """Training whose result depends on `controls`: T = len(batches) steps, of which step t sees batches[t].

    The loss is in `derivatives`, and is a pure function of (weights, controls, batch), so that a step can be run again
    from its weights alone. Training that continues an earlier one has that one's `state`, and the number of its steps
    in `taken`.

    Raises ValueError where the parts do not fit each other.
    """

    initial: Tensors  # θ_0
    controls: Tensors  # what the outer gradient is taken with respect to
    batches: Sequence[Tensors]  # T tuples of tensors without gradient
    derivatives: Derivatives
    optimiser: Optimiser
    learn_rate: bool = False  # whether the derivative with respect to log lr is wanted too
    state: Tensors | None = None  # of the optimiser, before the first of these steps; None: its start
    taken: int = 0  # steps that the optimiser took before the first of these

    def __post_init__(self) -> None:
        for name in ("initial", "controls"):
            tensors = getattr(self, name)
            if not tensors:
                raise ValueError(f"`{name}` must hold at least one tensor")
            if not all(tensor.is_floating_point() for tensor in tensors):
                raise ValueError(f"`{name}` must be of floating point")
        for t, batch in enumerate(self.batches):
            if not isinstance(batch, tuple) or not all(isinstance(part, Tensor) for part in batch):
                raise ValueError(f"batch {t} must be a tuple of tensors")
            if any(part.requires_grad for part in batch):
                raise ValueError(f"batch {t} requires a gradient: what is differentiated belongs to the controls")
        if self.taken < 0:
            raise ValueError(f"`taken` must be 0 or more, not {self.taken}")
        if (self.state is None) != (self.taken == 0):
            raise ValueError("`state` and `taken` belong together: give both, or neither")

    @property
    def steps(self) -> int:
        """T."""
        return len(self.batches)
