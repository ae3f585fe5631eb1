"""Problems whose parts do not fit are refused where they are made."""

from dataclasses import replace

import engine_problems as problems
import pytest
import torch

from memcli.engine import SGD, Adjoint, Checkpointed, Direct, Stored

INNER, OUTER = problems.curved(SGD(0.05, 0.9), 3)


def test_the_number_of_steps_is_the_number_of_batches() -> None:
    assert INNER.steps == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"initial": ()}, "`initial` must hold at least one tensor"),
        ({"controls": ()}, "`controls` must hold at least one tensor"),
        ({"controls": (torch.arange(3),)}, "`controls` must be of floating point"),
        ({"batches": [torch.ones(2)]}, "batch 0 must be a tuple of tensors"),
        ({"batches": [(torch.ones(2),), (3,)]}, "batch 1 must be a tuple of tensors"),
        ({"batches": [(torch.ones(2, requires_grad=True),)]}, "batch 0 requires a gradient: .* to the controls"),
        ({"taken": -1, "state": ()}, "`taken` must be 0 or more, not -1"),
        ({"taken": 2}, "`state` and `taken` belong together"),
        ({"state": ()}, "`state` and `taken` belong together"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(INNER, **change)


@pytest.mark.parametrize("adjoint", [Direct(), Stored(), Checkpointed()], ids=["direct", "stored", "checkpointed"])
@pytest.mark.parametrize("optimiser", ["decay", "adam"])
def test_training_may_go_on_from_a_state(optimiser: str, adjoint: Adjoint) -> None:
    """Two steps and then three reach the weights that five reach, also where the step number matters (Adam)."""
    settings = problems.OPTIMISERS[optimiser]
    inner, outer = problems.curved(settings, 5)
    params, state = inner.initial, settings.start(inner.initial)
    for t in range(2):
        gradients = inner.derivatives.gradient(params, inner.controls, inner.batches[t])
        update, state = settings.update(params, state, gradients, t)
        params = tuple(p - settings.lr * u for p, u in zip(params, update, strict=True))
    rest = replace(inner, initial=params, state=state, taken=2, batches=inner.batches[2:])
    found, wanted = adjoint.outer_gradient(rest, outer), Direct().outer_gradient(inner, outer)
    assert problems.relative(found.weights[0], wanted.weights[0]) < 1e-13
