"""A window's gradient is that of autograd through the problem that starts where the window does."""

from dataclasses import replace

import engine_problems as problems
import pytest
import torch
from engine_watch import Watch

from memcli.engine import Adjoint, Checkpointed, Direct, InnerProblem, Stored, Windowed

THROUGH = {"stored": Stored(), "checkpointed": Checkpointed(), "direct": Direct()}


def truncated(inner: InnerProblem, start: int, length: int) -> InnerProblem:
    """The problem after `start` steps, reached in a way of its own."""
    params, state, optimiser = inner.initial, inner.optimiser.start(inner.initial), inner.optimiser
    for t in range(start):
        leaves = tuple(param.detach().requires_grad_() for param in params)
        gradients = torch.autograd.grad(inner.derivatives.loss(leaves, inner.controls, inner.batches[t]), leaves)
        update, state = optimiser.update(params, state, gradients, t)
        params = tuple(p - optimiser.lr * u for p, u in zip(params, update, strict=True))
    batches = inner.batches[start : start + length]
    return replace(inner, initial=params, state=state if start else None, taken=start, batches=batches)


@pytest.mark.parametrize("way", problems.WAYS)
@pytest.mark.parametrize("window", [(0, 2), (2, 3), (3, 1)])
@pytest.mark.parametrize("optimiser", problems.OPTIMISERS)
@pytest.mark.parametrize("problem", problems.PROBLEMS)
def test_equals_autograd_through_the_window(problem: str, optimiser: str, window: tuple[int, int], way: str) -> None:
    inner, outer = problems.PROBLEMS[problem](problems.OPTIMISERS[optimiser], 5, problems.WAYS[way])
    wanted = Direct().outer_gradient(truncated(inner, *window), outer)
    for through in THROUGH.values():
        found = Windowed(*window, through=through).outer_gradient(inner, outer)
        for one, other in zip(problems.parts(found), problems.parts(wanted), strict=True):
            assert other.norm() > 0
            assert problems.relative(one, other) < 1e-9


def test_a_window_of_everything_is_everything() -> None:
    inner, outer = problems.mlp(problems.OPTIMISERS["adam"], 4)
    found, wanted = Windowed(0, 4).outer_gradient(inner, outer), Stored().outer_gradient(inner, outer)
    assert all(one.equal(other) for one, other in zip(problems.parts(found), problems.parts(wanted), strict=True))


@pytest.mark.parametrize("through", THROUGH.values(), ids=THROUGH)
def test_keeps_and_runs_again_the_window_s_steps_only(through: Adjoint) -> None:
    inner, outer = problems.curved(problems.OPTIMISERS["momentum"], 30)
    watch = Watch(inner)
    found = Windowed(20, 4, through=through).outer_gradient(watch.problem, outer)
    if not isinstance(through, Direct):
        assert watch.steps("gradient")[:24] == list(range(24))
        assert watch.steps("products") == [23, 22, 21, 20]
        assert found.recomputed <= 8
        assert watch.peak <= found.states + 2  # the state at the window's start, and the step at hand
    assert found.states <= 12


@pytest.mark.parametrize("window", [(-1, 2), (0, 0)])
def test_impossible_windows_are_refused(window: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="a window starts at 0 or later and has a step"):
        Windowed(*window)


def test_a_window_beyond_the_training_is_refused() -> None:
    inner, outer = problems.curved(problems.OPTIMISERS["plain"], 5)
    with pytest.raises(ValueError, match="a window that ends after step 6 does not fit 5 steps"):
        Windowed(3, 3).outer_gradient(inner, outer)
