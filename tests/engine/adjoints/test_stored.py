"""What the stored adjoint keeps and runs again, counted."""

import engine_problems as problems
import pytest
from engine_watch import Watch

from memcli.engine import Stored


@pytest.mark.parametrize("steps", [0, 1, 9])
@pytest.mark.parametrize("optimiser", problems.OPTIMISERS)
def test_runs_each_step_twice_the_second_time_backwards(optimiser: str, steps: int) -> None:
    inner, outer = problems.curved(problems.OPTIMISERS[optimiser], steps)
    watch = Watch(inner)
    found = Stored().outer_gradient(watch.problem, outer)
    assert watch.calls == [("gradient", t) for t in range(steps)] + [("products", t) for t in reversed(range(steps))]
    assert found.recomputed == steps


@pytest.mark.parametrize(
    ("optimiser", "wanted"), [("plain", 10), ("momentum", 11), ("nesterov", 11), ("decay", 11), ("adam", 28)]
)
def test_keeps_the_weights_of_every_step_the_last_state_and_those_of_adam(optimiser: str, wanted: int) -> None:
    inner, outer = problems.curved(problems.OPTIMISERS[optimiser], 9)
    watch = Watch(inner)
    assert Stored().outer_gradient(watch.problem, outer).states == wanted
    assert wanted - 1 <= watch.peak <= wanted
