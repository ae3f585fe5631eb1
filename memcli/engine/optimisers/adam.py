"""Adam. Kingma & Ba, ICLR 2015."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

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
class Adam(Optimiser):
    """As torch.optim.Adam has it, with ĝ = g + weight_decay · θ (L2, not decoupled) and k = t + 1:

    m' = β₁ m + (1 - β₁) ĝ,   v' = β₂ v + (1 - β₂) ĝ²,   θ' = θ - lr · u,
    u = (m' / (1 - β₁ᵏ)) / (√v' / √(1 - β₂ᵏ) + eps)

    The state is every m, then every v. Its adjoint reads the state after the step, and g.

    √ has no derivative at 0, where it is taken as 0 here. v' = 0 says that ĝ is 0 now and was in every earlier step
    (unless β₂ = 0, or ĝ² underflows), so m' = 0 too; u is then still differentiable in ĝ, through m' alone, and the
    0 makes the adjoint exact.
    """

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    needs_state: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive("lr", self.lr)
        require_positive("eps", self.eps)
        for number, beta in enumerate(self.betas):
            require_share(f"betas[{number}]", beta)
        require_decay(self.weight_decay)

    def start(self, params: Tensors) -> Tensors:
        return tuple(param.new_zeros(param.shape) for _ in range(2) for param in params)

    def update(self, params: Tensors, state: Tensors, gradients: Tensors, t: int) -> tuple[Tensors, Tensors]:
        (beta1, beta2), count = self.betas, len(params)
        gradients = self._decayed(gradients, params)
        means = tuple(torch._foreach_lerp(state[:count], gradients, 1 - beta1))
        squares = tuple(torch._foreach_addcmul(scaled(state[count:], beta2), gradients, gradients, value=1 - beta2))
        _, denominators = self._roots(squares, t)
        return tuple(torch._foreach_div(scaled(means, 1 / (1 - beta1 ** (t + 1))), denominators)), means + squares

    def pull_back(
        self, params: Tensors, state_after: Tensors, weights_bar: Tensors, state_bar: Tensors, t: int
    ) -> Pulled:
        """With d the denominator of u, s = lr / (1 - β₁ᵏ), and (μ', ν') the adjoints of (m', v') from later steps:

        μ̂ = μ' - s λ' / d,   ν̂ = ν' + s λ' m' / d² · 1 / (2 √v' √(1 - β₂ᵏ))   (its last factor 0 where v' = 0)
        a = (1 - β₁) μ̂ + 2 (1 - β₂) ĝ ν̂,   μ = β₁ μ̂,   ν = β₂ ν̂
        """
        (beta1, beta2), count = self.betas, len(params)
        means, squares = state_after[:count], state_after[count:]
        roots, denominators = self._roots(squares, t)
        shares = torch._foreach_div(scaled(weights_bar, self.lr / (1 - beta1 ** (t + 1))), denominators)  # s λ' / d
        means_bar = added(state_bar[:count], tuple(shares), -1.0)
        slopes = torch._foreach_div(torch._foreach_mul(shares, means), denominators)
        slopes = torch._foreach_div(slopes, scaled(roots, 2 * math.sqrt(1 - beta2 ** (t + 1))))
        least = torch.finfo(squares[0].dtype).tiny
        finite = tuple(slope.masked_fill(v < least, 0) for slope, v in zip(slopes, squares, strict=True))
        squares_bar = added(state_bar[count:], finite)

        def direction(gradients: Tensors) -> Tensors:
            doubled = scaled(self._decayed(gradients, params), 2 * (1 - beta2))
            return tuple(torch._foreach_addcmul(scaled(means_bar, 1 - beta1), doubled, squares_bar))

        return Pulled(direction, scaled(means_bar, beta1) + scaled(squares_bar, beta2))

    def _decayed(self, gradients: Tensors, params: Tensors) -> Tensors:
        """ĝ."""
        return added(gradients, params, self.weight_decay) if self.weight_decay else gradients

    def _roots(self, squares: Tensors, t: int) -> tuple[Tensors, Tensors]:
        """√v' and d. Where v' = 0, √v' is a number too small to change d, and has a derivative of 0."""
        least = torch.finfo(squares[0].dtype).tiny
        roots = tuple(torch._foreach_sqrt(torch._foreach_clamp_min(squares, least)))
        corrected = scaled(roots, 1 / math.sqrt(1 - self.betas[1] ** (t + 1)))
        return roots, tuple(torch._foreach_add(corrected, self.eps))


OPTIMISER = InnerOptimiserKind(lambda lr, momentum: Adam(lr, betas=(momentum, 0.999)))
