"""A convolution whose second derivatives are convolutions of the same kind as its first ones.

torch's own second derivative of a convolution with respect to its weights is a convolution of batches as if they were
channels, with kernels as large as the images: two to three times as slow as the gradient that it equals. With
y = W * x + b, and writing Bx(g, W) and Bw(g, x) for the gradients of ⟨g, y⟩ with respect to x and W:

    g_x = Bx(g, W),    g_W = Bw(g, x),    g_b = Σ g

and for cotangents u of g_x, a of g_W and c of g_b:

    of g:  W * u + a * x + c,    of x:  Bx(g, a),    of W:  Bw(g, u)

Forward mode has the same products, since all of these are linear in each argument.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _Shape(NamedTuple):
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return torch.conv2d(x, weight, bias, *self)

    def pull(self, g: Tensor, x: Tensor, weight: Tensor, mask: tuple[bool, bool, bool]) -> tuple[Tensor, ...]:
        """Bx(g, weight), Bw(g, x) and Σ g, those that `mask` asks for.

        The sum is taken here: in the same call, it takes oneDNN ten times as long as the rest (docs/log/).
        """
        stride, padding, dilation, groups = self
        sizes = (stride, padding, dilation, False, (0, 0), groups)
        of_x, of_weight, of_bias = mask
        asked = (of_x, of_weight, False)
        gradients: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(g, x, weight, None, *sizes, asked)
        return *gradients[:2], g.sum((0, 2, 3)) if of_bias else gradients[2]


class Convolution(nn.Conv2d):
    """nn.Conv2d, differentiable twice; padding is given as numbers, and pads with zeros."""

    def forward(self, images: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, out channels, h', w')."""
        assert isinstance(self.padding, tuple)
        shape = _Shape(self.stride, self.padding, self.dilation, self.groups)
        convolved: Tensor = _Convolve.apply(images, self.weight, self.bias, shape)
        return convolved


class _Convolve(torch.autograd.Function):
    """(x, W, b) -> y."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, shape: _Shape) -> Tensor:
        return shape.convolve(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        x, weight, bias, ctx.shape = inputs
        ctx.biased = bias is not None
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        needed = (*ctx.needs_input_grad[:2], ctx.biased and ctx.needs_input_grad[2])
        gradients = _ConvolveBackward.apply(g, *ctx.saved_tensors, ctx.shape, needed)
        return *(part if asked else None for part, asked in zip(gradients, needed, strict=True)), None

    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor | None, weight_dot: Tensor | None, bias_dot: Tensor | None, _: None) -> Tensor:
        x, weight = ctx.saved_tensors
        terms = [ctx.shape.convolve(x_dot, weight)] if x_dot is not None else []
        terms += [ctx.shape.convolve(x, weight_dot, bias_dot)] if weight_dot is not None else []
        return sum(terms[1:], start=terms[0])


class _ConvolveBackward(torch.autograd.Function):
    """(g, x, W) -> g_x, g_W, g_b."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        g: Tensor, x: Tensor, weight: Tensor, shape: _Shape, mask: tuple[bool, bool, bool]
    ) -> tuple[Tensor, ...]:
        return shape.pull(g, x, weight, mask)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        del output
        g, x, weight, ctx.shape, ctx.mask = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(g, x, weight)
        ctx.save_for_forward(g, x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor | None, a: Tensor | None, c: Tensor | None) -> tuple[Tensor | None, ...]:
        g, x, weight = ctx.saved_tensors
        terms = [ctx.shape.convolve(u, weight)] if u is not None else []
        terms += [ctx.shape.convolve(x, a, c)] if a is not None else []
        terms += [c[:, None, None].expand_as(g)] if a is None and c is not None else []
        of_g = sum(terms[1:], start=terms[0]) if terms else None
        like_x, like_weight = (x if u is None else u), (weight if a is None else a)
        of_x, of_weight, _ = ctx.shape.pull(g, like_x, like_weight, (a is not None, u is not None, False))
        return of_g, of_x, of_weight, None, None

    @staticmethod
    def jvp(
        ctx: Any, g_dot: Tensor, x_dot: Tensor | None, weight_dot: Tensor | None, *_: None
    ) -> tuple[Tensor | None, ...]:
        g, x, weight = ctx.saved_tensors
        dots = list(ctx.shape.pull(g_dot, x, weight, ctx.mask))
        by_x, by_weight = ctx.mask[0] and weight_dot is not None, ctx.mask[1] and x_dot is not None
        like_x, like_weight = (x if x_dot is None else x_dot), (weight if weight_dot is None else weight_dot)
        if by_x or by_weight:
            more = ctx.shape.pull(g, like_x, like_weight, (by_x, by_weight, False))
            by_both = zip(dots, more, (by_x, by_weight), strict=False)
            dots[:2] = [dot + other if asked else dot for dot, other, asked in by_both]
        return tuple(dots)
