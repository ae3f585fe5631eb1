"""What the checkpointed adjoint keeps and runs again, counted; and that it grows with the root of T."""

import math

import engine_problems as problems
import pytest
from engine_watch import Watch

from memcli.engine import SGD, Checkpointed, Stored


def test_rebuilds_one_segment_at_a_time_from_the_last_to_the_first() -> None:
    inner, outer = problems.curved(SGD(0.02, 0.9), 7)
    watch = Watch(inner)
    found = Checkpointed(every=3).outer_gradient(watch.problem, outer)
    assert watch.calls == [
        *[("gradient", t) for t in range(7)],
        ("products", 6),
        *[("gradient", 3), ("gradient", 4), ("products", 5), ("products", 4), ("products", 3)],
        *[("gradient", 0), ("gradient", 1), ("products", 2), ("products", 1), ("products", 0)],
    ]
    assert found.recomputed == 7 + 4


@pytest.mark.parametrize("optimiser", ["plain", "momentum", "adam"])
@pytest.mark.parametrize("steps", [0, 1, 2, 5, 16, 17, 40])
def test_peak_states_grow_with_the_root_of_the_steps(steps: int, optimiser: str) -> None:
    inner, outer = problems.curved(problems.OPTIMISERS[optimiser], steps)
    watch = Watch(inner)
    found = Checkpointed().outer_gradient(watch.problem, outer)
    per_point = {"plain": 1, "momentum": 2, "adam": 3}[optimiser]
    assert found.states <= 2 * per_point * (math.ceil(math.sqrt(steps)) + 1) + 1
    assert watch.peak <= found.states + per_point  # what the step at hand itself makes
    assert watch.peak >= found.states - 2 * per_point
    assert found.recomputed == len(watch.calls) - steps <= 2 * steps
    assert watch.steps("products") == [*reversed(range(steps))]


def test_is_bit_for_bit_what_stored_gives() -> None:
    inner, outer = problems.convnet(problems.OPTIMISERS["adam-decay"], 7)
    found, wanted = Checkpointed().outer_gradient(inner, outer), Stored().outer_gradient(inner, outer)
    for one, other in zip(problems.parts(found), problems.parts(wanted), strict=True):
        assert one.equal(other)


def test_an_empty_segment_is_refused() -> None:
    with pytest.raises(ValueError, match="`every` must be 1 or more, not 0"):
        Checkpointed(every=0)
