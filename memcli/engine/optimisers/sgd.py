"""Stochastic gradient descent, with momentum, Nesterov's momentum and weight decay."""

from dataclasses import dataclass
from typing import ClassVar

from memcli.engine.optimisers.base import (
    InnerOptimiserKind,
    Optimiser,
    Pulled,
    require_decay,
    require_positive,
    require_share,
)
from memcli.engine.tensors import Tensors, added, scaled


@dataclass(frozen=True)
class SGD(Optimiser):
    """As torch.optim.SGD has it, with ĝ = g + weight_decay · θ:

    v' = momentum · v + ĝ,   u = v',  or  ĝ + momentum · v' with nesterov,   θ' = θ - lr · u

    The state is v, or nothing where momentum is 0. Its adjoint reads no state.
    """

    lr: float
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    needs_state: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive("lr", self.lr)
        require_share("momentum", self.momentum)
        require_decay(self.weight_decay)
        if self.nesterov and not self.momentum:
            raise ValueError("`nesterov` needs a momentum above 0")

    def start(self, params: Tensors) -> Tensors:
        return tuple(param.new_zeros(param.shape) for param in params) if self.momentum else ()

    def update(self, params: Tensors, state: Tensors, gradients: Tensors, t: int) -> tuple[Tensors, Tensors]:
        del t
        if self.weight_decay:
            gradients = added(gradients, params, self.weight_decay)
        if not self.momentum:
            return gradients, ()
        velocity = added(gradients, state, self.momentum)
        return (added(gradients, velocity, self.momentum) if self.nesterov else velocity), velocity

    def pull_back(
        self, params: Tensors, state_after: Tensors, weights_bar: Tensors, state_bar: Tensors, t: int
    ) -> Pulled:
        """a = ν' - lr · λ',   ν = momentum · a.   With nesterov, u hands -lr · λ' to ĝ and momentum times it to v':

        ν̂ = ν' - lr · momentum · λ',   a = ν̂ - lr · λ',   ν = momentum · ν̂
        """
        del params, state_after, t
        if not self.momentum:
            return Pulled(scaled(weights_bar, -self.lr), ())
        through_update = self.lr * self.momentum if self.nesterov else self.lr
        velocity_bar = added(state_bar, weights_bar, -through_update)
        direction = added(velocity_bar, weights_bar, -self.lr) if self.nesterov else velocity_bar
        return Pulled(direction, scaled(velocity_bar, self.momentum))


OPTIMISER = InnerOptimiserKind(SGD)
