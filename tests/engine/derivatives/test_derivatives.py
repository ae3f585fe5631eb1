"""The second-order products: both ways agree, refuse what they cannot do, and the faster one is found."""

import time
from typing import Any

import engine_problems as problems
import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.functional import gelu, mish, silu

from memcli.engine import SGD, Fastest, ForwardOverReverse, Loss, ReverseOverReverse, Stored, Tensors
from memcli.errors import UsageError

PARAMS, CONTROLS, BATCH = (problems.draw(4, 3, seed=1),), (problems.draw(3, seed=2),), (problems.draw(4, seed=3),)
DIRECTION = (problems.draw(4, 3, seed=4),)


def through(function: Any) -> Loss:
    def loss(params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        return (function(params[0]) @ controls[0] * batch[0]).sin().sum()

    return loss


class Square(torch.autograd.Function):
    """A function of a user's, differentiable twice backwards and never forwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Tensor:
        return 2 * bar * ctx.saved_tensors[0]


@pytest.mark.parametrize("way", problems.WAYS.values(), ids=problems.WAYS)
@pytest.mark.parametrize("direction", [DIRECTION, lambda gradient: (gradient[0] ** 2,)], ids=["known", "of g"])
def test_products_are_the_directional_derivatives_of_the_gradient(way: Any, direction: Any) -> None:
    loss = through(torch.tanh)
    found = way(loss).products(PARAMS, CONTROLS, BATCH, direction)
    (gradient,) = way(loss).gradient(PARAMS, CONTROLS, BATCH)
    (a,) = direction((gradient,)) if callable(direction) else direction

    def both(step: float) -> Tensors:
        leaves = ((PARAMS[0] + step * a).requires_grad_(), CONTROLS[0].clone().requires_grad_())
        return torch.autograd.grad(loss(leaves[:1], leaves[1:], BATCH), leaves)

    torch.testing.assert_close(found.direction, (a,), rtol=1e-13, atol=0)
    for one, up, down in zip((*found.curvature, *found.mixed), both(1e-5), both(-1e-5), strict=True):
        torch.testing.assert_close(one, (up - down) / 2e-5, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("function", [gelu, silu, mish, lambda x: torch.group_norm(x[None], 2)[0]])
def test_both_ways_agree_where_the_backward_pass_must_be_recorded(function: Any) -> None:
    forward, reverse = ForwardOverReverse(through(function)), ReverseOverReverse(through(function))
    for _ in range(2):  # the second time it is known whether to record
        found, wanted = (way.products(PARAMS, CONTROLS, BATCH, DIRECTION) for way in (forward, reverse))
        for one, other in zip((*found.curvature, *found.mixed), (*wanted.curvature, *wanted.mixed), strict=True):
            assert problems.relative(one, other) < 1e-12


@pytest.mark.parametrize("way", problems.WAYS.values(), ids=problems.WAYS)
def test_weights_and_controls_without_a_part_in_the_loss_have_derivatives_of_zero(way: Any) -> None:
    params, controls = (*PARAMS, problems.draw(2, seed=5)), (*CONTROLS, problems.draw(2, seed=6))
    direction = (*DIRECTION, problems.draw(2, seed=7))
    linear = way(lambda params, _, batch: params[0].sum() * batch[0].sum())
    found = linear.products(params, controls, BATCH, direction)
    assert not any(part.any() for part in (*found.curvature, *found.mixed))
    assert linear.gradient(params, controls, BATCH)[0].any()
    assert not linear.gradient(params, controls, BATCH)[1].any()
    found = way(through(torch.tanh)).products(params, controls, BATCH, direction)
    assert [bool(part.any()) for part in (*found.curvature, *found.mixed)] == [True, False, True, False]


@pytest.mark.parametrize("way", problems.WAYS.values(), ids=problems.WAYS)
def test_nothing_that_is_returned_carries_a_graph_or_a_tangent(way: Any) -> None:
    found = way(through(silu)).products(PARAMS, CONTROLS, BATCH, DIRECTION)
    parts = (*found.direction, *found.curvature, *found.mixed)
    assert not any(part.requires_grad for part in parts)
    with forward_ad.dual_level():
        assert all(forward_ad.unpack_dual(part).tangent is None for part in parts)


def test_a_loss_without_forward_derivatives_is_refused_by_name() -> None:
    with pytest.raises(
        UsageError, match=r"without a forward derivative: .*jvp.*\. Differentiate it with ReverseOverReverse\."
    ):
        ForwardOverReverse(through(Square.apply)).products(PARAMS, CONTROLS, BATCH, DIRECTION)


def test_fastest_falls_back_to_reverse_over_reverse() -> None:
    loss = through(Square.apply)
    found = Fastest(loss).products(PARAMS, CONTROLS, BATCH, DIRECTION)
    wanted = ReverseOverReverse(loss).products(PARAMS, CONTROLS, BATCH, DIRECTION)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("slow", ["forward", "reverse"])
def test_fastest_measures_once_and_stays_with_the_winner(slow: str) -> None:
    calls: list[bool] = []

    def loss(params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        dual = forward_ad._current_level >= 0
        calls.append(dual)
        if dual == (slow == "forward"):
            time.sleep(0.2)
        return through(torch.tanh)(params, controls, batch)

    fastest = Fastest(loss)
    chosen = fastest.choice(PARAMS, CONTROLS, BATCH, DIRECTION)
    assert type(chosen) is (ReverseOverReverse if slow == "forward" else ForwardOverReverse)
    calls.clear()
    assert fastest.choice(PARAMS, CONTROLS, BATCH, DIRECTION) is chosen
    assert calls == []
    fastest.products(PARAMS, CONTROLS, BATCH, DIRECTION)
    assert calls == [slow == "reverse"]
    fastest.products(tuple(param.float() for param in PARAMS), *((t[0].float(),) for t in (CONTROLS, BATCH, DIRECTION)))
    assert len(calls) > 2, "another precision is measured anew"


def test_fastest_is_measured_on_the_first_step_and_lives_across_problems() -> None:
    calls: list[int] = []
    inner, outer = problems.mlp(SGD(0.05, 0.9), 4)
    loss = inner.derivatives.loss

    def counted(params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        calls.append(1)
        return loss(params, controls, batch)

    way = Fastest(counted)
    inner, outer = problems.mlp(SGD(0.05, 0.9), 4, lambda _: way)
    wanted = Stored().outer_gradient(problems.mlp(SGD(0.05, 0.9), 4)[0], outer)
    for extra in (2 * 4, 0):
        calls.clear()
        found = Stored().outer_gradient(inner, outer)
        assert len(calls) == 8 + extra
        assert problems.relative(found.controls[0], wanted.controls[0]) < 1e-12
