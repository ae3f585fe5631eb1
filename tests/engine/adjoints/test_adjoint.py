"""Every adjoint equals plain autograd through the unroll, and that equals finite differences; all in float64."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import engine_problems as problems
import pytest
import torch

from memcli.engine import SGD, Adjoint, Checkpointed, Direct, InnerProblem, OuterGradient, Stored

ADJOINTS = {"stored": Stored(), "checkpointed": Checkpointed(), "pairs": Checkpointed(every=2)}
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@lru_cache
def reference(problem: str, optimiser: str, steps: int) -> OuterGradient:
    return Direct().outer_gradient(*problems.PROBLEMS[problem](problems.OPTIMISERS[optimiser], steps))


def require_equal(found: OuterGradient, wanted: OuterGradient, tolerance: float = 1e-9) -> None:
    for one, other in zip(problems.parts(found), problems.parts(wanted), strict=True):
        assert other.norm() > 1e-6, "a gradient of zero would prove nothing"
        assert one.dtype == other.dtype
        assert not one.requires_grad
        assert problems.relative(one, other) < tolerance


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("way", problems.WAYS)
@pytest.mark.parametrize("optimiser", problems.OPTIMISERS)
@pytest.mark.parametrize("problem", problems.PROBLEMS)
@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_equals_autograd_through_the_unroll(adjoint: str, problem: str, optimiser: str, way: str, steps: int) -> None:
    inner, outer = problems.PROBLEMS[problem](problems.OPTIMISERS[optimiser], steps, problems.WAYS[way])
    require_equal(ADJOINTS[adjoint].outer_gradient(inner, outer), reference(problem, optimiser, steps))


@pytest.mark.parametrize("optimiser", problems.OPTIMISERS)
@pytest.mark.parametrize("problem", problems.PROBLEMS)
def test_equals_finite_differences(problem: str, optimiser: str) -> None:
    inner, outer = problems.PROBLEMS[problem](problems.OPTIMISERS[optimiser], 4)
    found = Stored().outer_gradient(inner, outer)

    def difference(moved: Callable[[float], InnerProblem], epsilon: float = 1e-5) -> float:
        up, down = (Direct().outer_gradient(moved(step), outer).loss for step in (epsilon, -epsilon))
        return float(up - down) / (2 * epsilon)

    def faster(step: float) -> InnerProblem:
        return replace(inner, optimiser=replace(inner.optimiser, lr=inner.optimiser.lr * math.exp(step)))

    assert float(found.rate) == pytest.approx(difference(faster), rel=1e-6, abs=1e-9)
    for which, control in enumerate(inner.controls):
        direction = problems.draw(*control.shape, seed=20 + which)

        def shifted(step: float, which: int = which, direction: torch.Tensor = direction) -> InnerProblem:
            controls = tuple(c + step * direction if i == which else c for i, c in enumerate(inner.controls))
            return replace(inner, controls=controls)

        wanted = difference(shifted)
        assert float((found.controls[which] * direction).sum()) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("adjoint", [Direct(), *ADJOINTS.values()], ids=["direct", *ADJOINTS])
def test_no_steps_give_a_zero_gradient(adjoint: Adjoint) -> None:
    inner, outer = problems.curved(SGD(0.05, 0.9), 0)
    found = adjoint.outer_gradient(inner, outer)
    assert float(found.loss) == float(outer(inner.initial))
    assert not any(part.any() for part in (*found.controls, found.rate))


@pytest.mark.parametrize("adjoint", [Direct(), *ADJOINTS.values()], ids=["direct", *ADJOINTS])
def test_the_rate_is_differentiated_only_when_asked(adjoint: Adjoint) -> None:
    inner, outer = problems.curved(SGD(0.05, 0.9), 3)
    found = adjoint.outer_gradient(replace(inner, learn_rate=False), outer)
    assert found.rate is None
    for one, other in zip(found.controls, adjoint.outer_gradient(inner, outer).controls, strict=True):
        assert problems.relative(one, other) < 1e-14


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_the_caller_s_tensors_are_left_alone(adjoint: str) -> None:
    inner, outer = problems.mlp(problems.OPTIMISERS["adam"], 3)
    before = [tensor.clone() for tensor in (*inner.initial, *inner.controls)]
    ADJOINTS[adjoint].outer_gradient(inner, outer)
    assert all(torch.equal(a, b) for a, b in zip(before, (*inner.initial, *inner.controls), strict=True))
    assert not any(tensor.requires_grad for tensor in (*inner.initial, *inner.controls))


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_initial_weights_and_controls_may_require_gradients_of_their_own(adjoint: str) -> None:
    inner, outer = problems.curved(SGD(0.05, 0.9), 3)
    asking = replace(
        inner,
        initial=tuple(param.clone().requires_grad_() for param in inner.initial),
        controls=tuple(control.clone().requires_grad_() for control in inner.controls),
    )
    found = ADJOINTS[adjoint].outer_gradient(asking, outer)
    require_equal(found, ADJOINTS[adjoint].outer_gradient(inner, outer), 1e-15)
    assert all(tensor.grad is None for tensor in (*asking.initial, *asking.controls))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("way", problems.WAYS)
@pytest.mark.parametrize("optimiser", ["decay", "adam"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-3), (torch.bfloat16, 0.3)], ids=str
)
def test_works_in_every_precision_on_every_device(
    dtype: torch.dtype, tolerance: float, optimiser: str, way: str, device: str
) -> None:
    settings = problems.OPTIMISERS[optimiser]
    inner, outer = problems.mlp(settings, 3, problems.WAYS[way], dtype=dtype, device=torch.device(device))
    found, wanted = Stored().outer_gradient(inner, outer), reference("mlp", optimiser, 3)
    for one, other in zip(found.controls, wanted.controls, strict=True):
        assert (one.dtype, one.device.type) == (dtype, device)
        assert problems.relative(one.double().cpu(), other) < tolerance
