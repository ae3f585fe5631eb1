"""Inner optimisers step as torch's do, their steps are differentiable, and their adjoints are those of autograd."""

import engine_problems as problems
import pytest
import torch

from memcli.engine import SGD, Adam, Optimiser, Tensors
from memcli.engine.optimisers import INNER_OPTIMISERS, descend

AS_TORCH = {
    "plain": (SGD(0.1), torch.optim.SGD, {"lr": 0.1}),
    "momentum": (SGD(0.1, 0.8), torch.optim.SGD, {"lr": 0.1, "momentum": 0.8}),
    "nesterov": (SGD(0.1, 0.8, True), torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    "decay": (SGD(0.1, weight_decay=0.3), torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.3}),
    "all": (
        SGD(0.1, 0.8, True, 0.3),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.3},
    ),
    "adam": (Adam(0.1), torch.optim.Adam, {"lr": 0.1}),
    "adam-decay": (
        Adam(0.1, (0.7, 0.9), 1e-3, 0.3),
        torch.optim.Adam,
        {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.3},
    ),
}
MINE = {name: mine for name, (mine, _, _) in AS_TORCH.items()}


def step(mine: Optimiser, params: Tensors, state: Tensors, gradients: Tensors, t: int) -> tuple[Tensors, Tensors]:
    update, after = mine.update(params, state, gradients, t)
    return descend(params, update, mine.lr), after


@pytest.mark.parametrize("name", AS_TORCH)
def test_steps_as_torch_does(name: str) -> None:
    mine, torchs, settings = AS_TORCH[name]
    params = (problems.draw(4, seed=1), problems.draw(2, 3, seed=2))
    theirs = [param.clone().requires_grad_() for param in params]
    reference, state = torchs(theirs, **settings), mine.start(params)
    for t in range(6):
        gradients = tuple(problems.draw(*param.shape, seed=30 + 2 * t + i) for i, param in enumerate(params))
        gradients[0][0] = 0.0  # also a weight whose gradient is always 0
        params, state = step(mine, params, state, gradients, t)
        for param, gradient in zip(theirs, gradients, strict=True):
            param.grad = gradient.clone()
        reference.step()
        for one, other in zip(params, theirs, strict=True):
            torch.testing.assert_close(one, other.detach(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("t", [0, 3])
@pytest.mark.parametrize("name", MINE)
def test_pulls_back_what_autograd_pulls_back(name: str, t: int) -> None:
    mine = MINE[name]
    params, gradients = (problems.draw(5, seed=1),), (problems.draw(5, seed=2),)
    state = tuple(problems.draw(5, seed=3 + i) ** 2 for i in range(len(mine.start(params))))
    inputs = [tensor.requires_grad_() for tensor in (*params, *state, *gradients)]
    after = step(mine, params, state, gradients, t)
    weights_bar, state_bar = (problems.draw(5, seed=6),), tuple(problems.draw(5, seed=7 + i) for i in range(len(state)))
    params_bar, *states_bar, gradient_bar = torch.autograd.grad(
        after[0] + after[1], inputs, weights_bar + state_bar, materialize_grads=True
    )
    with torch.no_grad():
        pulled = mine.pull_back(params, after[1], weights_bar, state_bar, t)
        (direction,) = pulled.direction(gradients) if callable(pulled.direction) else pulled.direction
    torch.testing.assert_close(direction, gradient_bar, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(weights_bar[0] + mine.weight_decay * direction, params_bar, rtol=1e-12, atol=1e-14)
    for one, other in zip(pulled.state_bar, states_bar, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", MINE)
def test_a_step_changes_none_of_its_arguments(name: str) -> None:
    mine, params, gradients = MINE[name], (problems.draw(5, seed=1),), (problems.draw(5, seed=2),)
    state = mine.start(params)
    before = [tensor.clone() for tensor in (*params, *state, *gradients)]
    step(mine, params, state, gradients, 0)
    assert all(one.equal(other) for one, other in zip(before, (*params, *state, *gradients), strict=True))


def test_plain_descent_has_no_state() -> None:
    assert SGD(0.1).start((torch.ones(2),)) == ()


def test_a_gradient_that_was_always_zero_has_a_finite_and_exact_adjoint_in_adam() -> None:
    """There θ' = θ - lr g / (|g| + eps), whose slope in g is -lr / eps."""
    mine, zero = Adam(0.1, eps=1e-3), (torch.zeros(1, dtype=torch.float64),)
    gradient = (torch.zeros(1, dtype=torch.float64, requires_grad=True),)
    (moved,), state = step(mine, zero, mine.start(zero), gradient, 0)
    assert torch.autograd.grad(moved.sum(), gradient)[0].item() == pytest.approx(-0.1 / 1e-3, rel=1e-12)
    pulled = mine.pull_back(zero, tuple(s.detach() for s in state), (torch.ones(1).double(),), mine.start(zero), 0)
    assert pulled.direction(zero)[0].item() == pytest.approx(-0.1 / 1e-3, rel=1e-12)
    assert all(bar.isfinite().all() for bar in pulled.state_bar)


def test_a_zero_gradient_after_others_has_a_finite_adjoint_where_adam_forgets_its_squares() -> None:
    """With β₂ = 0 the root is |g|, which has no derivative at 0: it counts as 0, by autograd and by the adjoint."""
    mine, params, zero = Adam(1.0, betas=(0.5, 0.0), eps=1e-12), (torch.ones(1),), (torch.zeros(1, requires_grad=True),)
    (moved,), state = step(mine, params, (torch.ones(1), torch.ones(1)), zero, 1)
    (wanted,) = torch.autograd.grad(moved.sum(), zero)
    pulled = mine.pull_back(params, tuple(s.detach() for s in state), (torch.ones(1),), mine.start(params), 1)
    assert wanted.isfinite()
    torch.testing.assert_close(pulled.direction((torch.zeros(1),))[0], wanted, rtol=1e-5, atol=0)
    assert all(bar.isfinite().all() for bar in pulled.state_bar)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0.0), "`lr` must be a positive number, not 0.0"),
        (lambda: SGD(float("inf")), "`lr` must be a positive number, not inf"),
        (lambda: SGD(0.1, 1.0), r"`momentum` must be in \[0, 1\), not 1.0"),
        (lambda: SGD(0.1, nesterov=True), "`nesterov` needs a momentum above 0"),
        (lambda: SGD(0.1, weight_decay=-1.0), "`weight_decay` must be 0 or more, not -1.0"),
        (lambda: Adam(-0.1), "`lr` must be a positive number, not -0.1"),
        (lambda: Adam(0.1, (0.9, 1.0)), r"`betas\[1\]` must be in \[0, 1\), not 1.0"),
        (lambda: Adam(0.1, eps=0.0), "`eps` must be a positive number, not 0.0"),
        (lambda: Adam(0.1, weight_decay=float("nan")), "`weight_decay` must be 0 or more, not nan"),
    ],
)
def test_impossible_settings_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_recipe_s_momentum_is_sgd_s_and_adam_s_first_beta() -> None:
    made = {name: kind.make(0.1, 0.7) for name, kind in INNER_OPTIMISERS.items()}
    assert made == {"sgd": SGD(0.1, 0.7), "adam": Adam(0.1, (0.7, 0.999))}
