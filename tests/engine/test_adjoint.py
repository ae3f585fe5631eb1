"""Every adjoint equals plain autograd through the unroll, and that equals finite differences; all in float64."""

import engine_problems as problems
import pytest
import torch

from memcli.engine import SGD, Adjoint, Direct, InnerProblem, Stored

ADJOINTS = {"stored": Stored()}
OPTIMISERS = {"plain": SGD(0.1), "momentum": SGD(0.05, 0.9)}


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("problem", problems.PROBLEMS)
@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_equals_autograd_through_the_unroll(adjoint: str, problem: str, optimiser: str, steps: int) -> None:
    inner, outer = problems.PROBLEMS[problem](OPTIMISERS[optimiser], steps)
    wanted, found = Direct().outer_gradient(inner, outer), ADJOINTS[adjoint].outer_gradient(inner, outer)
    assert relative(found.loss, wanted.loss) < 1e-12
    for one, other in zip(found.weights, wanted.weights, strict=True):
        assert relative(one, other) < 1e-12
    for one, other in zip(found.controls, wanted.controls, strict=True):
        assert other.norm() > 1e-6, "a gradient of zero would prove nothing"
        assert relative(one, other) < 1e-9


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("problem", problems.PROBLEMS)
@pytest.mark.parametrize("adjoint", [Direct(), *ADJOINTS.values()], ids=["direct", *ADJOINTS])
def test_equals_finite_differences(adjoint: Adjoint, problem: str, optimiser: str) -> None:
    inner, outer = problems.PROBLEMS[problem](OPTIMISERS[optimiser], 5)
    found = adjoint.outer_gradient(inner, outer)
    for which, control in enumerate(inner.controls):
        direction = problems.draw(*control.shape, seed=20 + which)

        def moved(step: float, which: int = which, direction: torch.Tensor = direction) -> float:
            controls = tuple(c + step * direction if i == which else c for i, c in enumerate(inner.controls))
            shifted = InnerProblem(inner.initial, controls, inner.loss, inner.steps, inner.optimiser)
            return float(Direct().outer_gradient(shifted, outer).loss)

        epsilon = 1e-5
        difference = (moved(epsilon) - moved(-epsilon)) / (2 * epsilon)
        assert float((found.controls[which] * direction).sum()) == pytest.approx(difference, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("steps", [0, 1, 9])
def test_stored_keeps_one_weight_vector_a_step_and_runs_each_step_twice(steps: int) -> None:
    inner, outer = problems.curved(SGD(0.05, 0.9), steps)
    replayed: list[int] = []

    def counted(params: tuple, controls: tuple, t: int) -> torch.Tensor:
        replayed.append(t)
        return inner.loss(params, controls, t)

    found = Stored().outer_gradient(InnerProblem(inner.initial, inner.controls, counted, steps, inner.optimiser), outer)
    assert replayed == [*range(steps), *reversed(range(steps))]
    assert (found.states, found.recomputed) == (steps + 1, steps)


def test_no_steps_give_a_zero_gradient() -> None:
    inner, outer = problems.curved(SGD(0.05, 0.9), 0)
    for adjoint in (Direct(), Stored()):
        assert all(not control.any() for control in adjoint.outer_gradient(inner, outer).controls)


def test_the_caller_s_tensors_are_left_alone() -> None:
    inner, outer = problems.mlp(SGD(0.05, 0.9), 3)
    before = [tensor.clone() for tensor in (*inner.initial, *inner.controls)]
    Stored().outer_gradient(inner, outer)
    assert all(torch.equal(a, b) for a, b in zip(before, (*inner.initial, *inner.controls), strict=True))
    assert not any(tensor.requires_grad for tensor in (*inner.initial, *inner.controls))


def test_a_negative_number_of_steps_is_refused() -> None:
    inner, _ = problems.curved(SGD(0.05), 1)
    with pytest.raises(ValueError, match=r"`steps` must be 0 or more, not -1"):
        InnerProblem(inner.initial, inner.controls, inner.loss, -1, inner.optimiser)


def test_sgd_steps_as_torch_does() -> None:
    start, gradients = problems.draw(4, seed=1), [problems.draw(4, seed=30 + t) for t in range(5)]
    mine, theirs = SGD(0.1, 0.8), start.clone().requires_grad_()
    params, state = (start,), mine.start((start,))
    reference = torch.optim.SGD([theirs], lr=0.1, momentum=0.8)
    for gradient in gradients:
        params, state = mine.step(params, state, (gradient,))
        theirs.grad = gradient.clone()
        reference.step()
    torch.testing.assert_close(params[0], theirs.detach(), rtol=0, atol=1e-14)
