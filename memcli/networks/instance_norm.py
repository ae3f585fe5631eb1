"""Instance norm whose second derivatives are as quick as its first.

torch differentiates the backward pass of group norm by a composition of some fifty elementwise operations, which is
most of the time of a second-order product at small widths. Here both derivatives are written out.

With x̂ = (x - m) r, r = (v + ε)^(-1/2), and means over the pixels of one channel of one image written ⟨·⟩:

    y   = γ x̂ + β
    g_x = γ r (g - ⟨g⟩ - x̂ s),    g_γ = Σ g x̂,    g_β = Σ g,          s = ⟨g x̂⟩

and for cotangents u of g_x, a of g_γ and b of g_β, with q = ⟨u x̂⟩:

    of g:  γ r (u - ⟨u⟩ - x̂ q) + a x̂ + b
    of x:  -γ r² (s (u - ⟨u⟩) + q (g - ⟨g⟩) + x̂ (⟨u g⟩ - ⟨u⟩⟨g⟩ - 3 q s)) + a r (g - ⟨g⟩ - x̂ s)
    of γ:  Σ_n HW r (⟨u g⟩ - ⟨u⟩⟨g⟩ - q s)

For forward mode, with tangents written ġ and so on, and z = g - ⟨g⟩ - x̂ s:

    x̂̇ = r (ẋ - ⟨ẋ⟩ - x̂ ⟨x̂ ẋ⟩),   ṙ = -r² ⟨x̂ ẋ⟩,   ẏ = γ̇ x̂ + γ x̂̇ + β̇
    ṡ = ⟨ġ x̂⟩ + ⟨g x̂̇⟩,   ż = ġ - ⟨ġ⟩ - x̂̇ s - x̂ ṡ,   ġ_x = (γ̇ r + γ ṙ) z + γ r ż
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class InstanceNorm(nn.Module):
    """Normalises every channel of every image over its pixels, then scales and shifts it by channel.

    The same function, parameters and initial values as nn.GroupNorm(channels, channels). Differentiable twice.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, images: Tensor) -> Tensor:
        """(n, channels, h, w) -> the same shape."""
        return _Norm.apply(images.contiguous(), self.weight, self.bias, self.eps)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        n, channels, height, width = x.shape
        y, mean, rstd = torch.native_group_norm(x, weight, bias, n, channels, height * width, channels, eps)
        ctx.save_for_backward(x, weight, mean, rstd)  # the last two (n, channels)
        ctx.save_for_forward(x, weight, mean, rstd)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, rstd = ctx.saved_tensors
        return *_NormBackward.apply(g, x, weight, mean, rstd), None

    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor, weight_dot: Tensor, bias_dot: Tensor, _: None) -> Tensor:
        x, weight, mean, rstd = ctx.saved_tensors
        x_hat, x_hat_dot, _r_dot = _normalised(x, x_dot, mean, rstd)
        return _by_channel(weight_dot) * x_hat + _by_channel(weight) * x_hat_dot + _by_channel(bias_dot)


class _NormBackward(torch.autograd.Function):
    """(g, x, γ) -> (g_x, g_γ, g_β). `mean` and `rstd` follow from x, and are not differentiated on their own."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        n, channels, height, width = x.shape
        g = g.contiguous()
        ctx.save_for_backward(g, x, weight, mean, rstd)
        ctx.save_for_forward(g, x, weight, mean, rstd)
        return torch.ops.aten.native_group_norm_backward(
            g, x, mean, rstd, weight, n, channels, height * width, channels, [True, True, True]
        )

    @staticmethod
    def jvp(ctx: Any, g_dot: Tensor, x_dot: Tensor, weight_dot: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        g, x, weight, mean, rstd = ctx.saved_tensors
        x_hat, x_hat_dot, r_dot = _normalised(x, x_dot, mean, rstd)
        gamma, r = _by_channel(weight), rstd[..., None, None]
        s = _pixel_mean(g * x_hat)
        s_dot = _pixel_mean(g_dot * x_hat + g * x_hat_dot)
        z = g - _pixel_mean(g) - x_hat * s
        z_dot = g_dot - _pixel_mean(g_dot) - x_hat_dot * s - x_hat * s_dot
        dot = (_by_channel(weight_dot) * r + gamma * r_dot) * z + gamma * r * z_dot
        return dot, (g_dot * x_hat + g * x_hat_dot).sum((0, 2, 3)), g_dot.sum((0, 2, 3))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        g, x, weight, mean, rstd = ctx.saved_tensors
        pixels = x.shape[2] * x.shape[3]
        u = u.contiguous()
        m, r = mean.flatten(), rstd.flatten()  # (n·channels,), as all that follows
        gamma, a, b = (t.expand(len(x), -1).reshape(-1) for t in (weight, a, b))
        us, gs, xs = (t.view(-1, pixels) for t in (u, g, x))
        mean_u, mean_g = us.mean(1), gs.mean(1)
        s = r * (_mean_product(gs, xs) - m * mean_g)
        q = r * (_mean_product(us, xs) - m * mean_u)
        covariance = _mean_product(us, gs) - mean_u * mean_g

        # Both results are combinations of u, g, x and 1 with one number each per channel and image.
        scale = gamma * r
        of_x = (a - scale * q) * r
        bar_g = _combination(b - scale * mean_u - of_x * m, (us, scale), (xs, of_x))
        of_u, of_g = -scale * r * s, r * (a - scale * q)
        of_x = -r * (scale * r * (covariance - 3 * q * s) + a * r * s)
        bar_x = _combination(-of_u * mean_u - of_g * mean_g - of_x * m, (us, of_u), (gs, of_g), (xs, of_x))
        bar_weight = (pixels * r * (covariance - q * s)).view(len(x), -1).sum(0)
        return bar_g.view_as(g), bar_x.view_as(x), bar_weight, None, None


def _normalised(x: Tensor, x_dot: Tensor, mean: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x_hat and its tangent, (n, channels, h, w), and the tangent of r, (n, channels, 1, 1)."""
    r = rstd[..., None, None]
    x_hat = (x - mean[..., None, None]) * r
    along = _pixel_mean(x_hat * x_dot)
    return x_hat, r * (x_dot - _pixel_mean(x_dot) - x_hat * along), -r.square() * along


def _pixel_mean(tensor: Tensor) -> Tensor:
    """(n, channels, h, w) -> (n, channels, 1, 1)."""
    return tensor.mean((2, 3), keepdim=True)


def _by_channel(weight: Tensor) -> Tensor:
    """(channels,) -> (channels, 1, 1)."""
    return weight[:, None, None]


def _mean_product(one: Tensor, other: Tensor) -> Tensor:
    """⟨one · other⟩ along rows, (rows,)."""
    return torch.linalg.vecdot(one, other) / one.shape[1]


def _combination(constant: Tensor, *terms: tuple[Tensor, Tensor]) -> Tensor:
    """constant + Σ tensor · number, by rows: tensors (rows, pixels), numbers and constant (rows,)."""
    (tensor, number), *others = terms
    total = tensor * number.unsqueeze(1)
    for tensor, number in others:
        total += tensor * number.unsqueeze(1)  # two passes, and still quicker than addcmul with a broadcast number
    return total.add_(constant.unsqueeze(1))
