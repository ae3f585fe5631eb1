"""Instance norm whose second derivatives are as quick as its first ones.

torch differentiates the backward pass of group norm by about fifty elementwise operations, and its kernels are quick
with the channels first only, where convolutions and pools are quick with them last. Here every derivative is written
out in operations that are quick in either layout.

With d = x - ⟨x⟩, r = (⟨d²⟩ + ε)^(-1/2), x̂ = d r, and means over the pixels of one channel of one image written ⟨·⟩:

    y   = γ x̂ + β
    g_x = γ r (g - ⟨g⟩ - x̂ s),    g_γ = Σ g x̂,    g_β = Σ g,          s = ⟨g x̂⟩

and for cotangents u of g_x, a of g_γ and b of g_β, with q = ⟨u x̂⟩ and k = ⟨u g⟩ - ⟨u⟩⟨g⟩:

    of g:  γ r (u - ⟨u⟩ - x̂ q) + a x̂ + b
    of x:  -γ r² (s (u - ⟨u⟩) + q (g - ⟨g⟩) + x̂ (k - 3 q s)) + a r (g - ⟨g⟩ - x̂ s)
    of γ:  Σ_n HW r (k - q s)

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

    The same function, parameters and initial values as nn.GroupNorm(channels, channels). Differentiable twice. Types
    of less than 32 bits are computed in float32 inside.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, images: Tensor) -> Tensor:
        """(n, channels, h, w) -> the same shape and memory format."""
        arguments = (images, self.weight, self.bias)
        wide = (t.float() if t.dtype.itemsize < 4 else t for t in arguments)
        normed: Tensor = _Norm.apply(*wide, self.eps)[0]
        return normed.to(images.dtype)


class _Norm(torch.autograd.Function):
    """(x, γ, β) -> y, d, r. The last two, (n, channels, h, w) and (n, channels, 1, 1), are for the derivatives."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        d = x - _pixel_mean(x)
        r = (_pixel_mean(d.square()) + eps).rsqrt()
        return torch.addcmul(_by_channel(bias), d, r * _by_channel(weight)), d, r

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        x, weight, _, _ = inputs
        _, d, r = output
        ctx.mark_non_differentiable(d, r)
        ctx.set_materialize_grads(False)  # otherwise backward gets images of zeros for d
        ctx.save_for_backward(x, weight, d, r)
        ctx.save_for_forward(x, weight, d, r)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        return (None,) * 4 if g is None else (*_NormBackward.apply(g, *ctx.saved_tensors)[:3], None)

    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor, weight_dot: Tensor, bias_dot: Tensor, _: None) -> tuple[Tensor, None, None]:
        _, weight, d, r = ctx.saved_tensors
        x_hat, x_hat_dot, _r_dot = _normalised(d, x_dot, r)
        y_dot = _by_channel(weight_dot) * x_hat + _by_channel(weight) * x_hat_dot + _by_channel(bias_dot)
        return y_dot, None, None


class _NormBackward(torch.autograd.Function):
    """(g, x, γ, d, r) -> g_x, g_γ, g_β, ⟨g⟩, s. d and r follow from x, and are not differentiated on their own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(g: Tensor, x: Tensor, weight: Tensor, d: Tensor, r: Tensor) -> tuple[Tensor, ...]:
        del x
        mean, s = _pixel_mean(g), _pixel_mean(g * d) * r
        scale, pixels = r * _by_channel(weight), g.shape[-2] * g.shape[-1]
        of_x = torch.addcmul(torch.addcmul(-scale * mean, g, scale), d, -scale * s * r)
        return of_x, s.sum((0, 2, 3)) * pixels, mean.sum((0, 2, 3)) * pixels, mean, s

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        g, _, weight, d, r = inputs
        *_, mean, s = output
        ctx.mark_non_differentiable(mean, s)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, weight, d, r, mean, s)
        ctx.save_for_forward(g, weight, d, r, mean, s)

    @staticmethod
    def jvp(ctx: Any, g_dot: Tensor, x_dot: Tensor, weight_dot: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        g, weight, d, r, mean, s = ctx.saved_tensors
        x_hat, x_hat_dot, r_dot = _normalised(d, x_dot, r)
        gamma = _by_channel(weight)
        s_dot = _pixel_mean(g_dot * x_hat + g * x_hat_dot)
        z = g - mean - x_hat * s
        z_dot = g_dot - _pixel_mean(g_dot) - x_hat_dot * s - x_hat * s_dot
        dot = (_by_channel(weight_dot) * r + gamma * r_dot) * z + gamma * r * z_dot
        return dot, (g_dot * x_hat + g * x_hat_dot).sum((0, 2, 3)), g_dot.sum((0, 2, 3)), None, None

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        g, weight, d, r, mean_g, s = ctx.saved_tensors
        wanted = zip(cotangents[:3], (g, weight, weight), strict=True)
        u, a, b = (torch.zeros_like(like) if part is None else part for part, like in wanted)
        gamma, a, b = (_by_channel(t) for t in (weight, a, b))
        mean_u, q = _pixel_mean(u), _pixel_mean(u * d) * r  # (n, channels, 1, 1), as every number below
        k = _pixel_mean(u * g) - mean_u * mean_g
        # Both results are combinations of u, g, d and 1 with one number each per channel and image.
        scale = gamma * r
        rest = a - scale * q
        of_g = torch.addcmul(torch.addcmul(b - scale * mean_u, u, scale), d, rest * r)
        by_u, by_g, by_d = -scale * r * s, rest * r, -r * r * (scale * (k - 3 * q * s) + a * s)
        of_x = torch.addcmul(torch.addcmul(-by_u * mean_u - by_g * mean_g, u, by_u), g, by_g)
        of_x = torch.addcmul(of_x, d, by_d)
        of_weight = (r * (k - q * s)).sum((0, 2, 3)) * (g.shape[-2] * g.shape[-1])
        return of_g, of_x, of_weight, None, None


def _normalised(d: Tensor, x_dot: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x_hat and its tangent, (n, channels, h, w), and the tangent of r, (n, channels, 1, 1)."""
    x_hat = d * r
    along = _pixel_mean(x_hat * x_dot)
    return x_hat, r * (x_dot - _pixel_mean(x_dot) - x_hat * along), -r.square() * along


def _pixel_mean(tensor: Tensor) -> Tensor:
    """(n, channels, h, w) -> (n, channels, 1, 1)."""
    return tensor.mean((-2, -1), keepdim=True)


def _by_channel(weight: Tensor) -> Tensor:
    """(channels,) -> (channels, 1, 1)."""
    return weight[..., None, None]
