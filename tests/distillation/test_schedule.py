"""When stages end: by steps, by seconds, by whichever comes first, and what an early end leaves."""

from dataclasses import replace

import pytest

from memcli.distillation.recipe import Outer, Recipe, Stage, load_recipe
from memcli.distillation.schedule import Schedule
from memcli.objectives.ridge import Ridge
from memcli.objectives.unrolled import Unrolled

STAGES = (Stage(Ridge(), Outer(), steps=100, share=1.0), Stage(Unrolled(), Outer(), steps=300, share=4.0))


@pytest.fixture
def recipe() -> Recipe:
    return replace(load_recipe("quick"), stages=STAGES)


def test_steps_and_seconds_are_shared_out_as_the_recipe_says(recipe: Recipe) -> None:
    assert Schedule.of(recipe, None, None) == Schedule((100, 400), None)
    assert Schedule.of(recipe, 10, None) == Schedule((2, 10), None)
    assert Schedule.of(recipe, None, 60.0) == Schedule(None, pytest.approx((12.0, 60.0)))
    assert Schedule.of(recipe, 8, 5.0) == Schedule((2, 8), pytest.approx((1.0, 5.0)))


def test_a_stage_is_over_by_whichever_limit_comes_first() -> None:
    schedule = Schedule((10, 30), (5.0, 25.0))
    assert schedule.finished(0, step=5, elapsed=1.0, entered=0, entered_at=0.0) == 0.5
    assert schedule.finished(0, step=5, elapsed=4.0, entered=0, entered_at=0.0) == 0.8
    assert schedule.finished(0, step=10, elapsed=1.0, entered=0, entered_at=0.0) >= 1


def test_an_early_end_leaves_the_rest_to_the_next_stage() -> None:
    schedule = Schedule((10, 30), None)
    assert schedule.finished(1, step=18, elapsed=0.0, entered=6, entered_at=0.0) == 0.5


def test_a_stage_without_room_is_over_at_once() -> None:
    assert Schedule((0, 30), None).finished(0, step=0, elapsed=0.0, entered=0, entered_at=0.0) == 1.0
