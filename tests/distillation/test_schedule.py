"""When stages end: by steps, by seconds, by whichever comes first, and what an early end leaves."""

from dataclasses import replace

import pytest

from memcli.distillation.outer import Counters
from memcli.distillation.recipe import Outer, Recipe, Stage, load_recipe
from memcli.distillation.schedule import Schedule, affordable, reserved
from memcli.objectives.ridge import Ridge
from memcli.objectives.unrolled import Unrolled
from memcli.training.choose import Pace

STAGES = (Stage(Ridge(), Outer(), steps=100, share=1.0), Stage(Unrolled(), Outer(), steps=300, share=4.0))


@pytest.fixture
def recipe() -> Recipe:
    return replace(load_recipe("quick"), stages=STAGES)


SHARES = (1.0, 4.0)


def test_steps_and_seconds_are_shared_out_as_the_recipe_says(recipe: Recipe) -> None:
    assert Schedule.of(recipe, None, None) == Schedule((100, 400), None, SHARES)
    assert Schedule.of(recipe, 10, None) == Schedule((2, 10), None, SHARES)
    assert Schedule.of(recipe, None, 60.0) == Schedule(None, 60.0, SHARES)
    assert Schedule.of(recipe, 8, 5.0) == Schedule((2, 8), 5.0, SHARES)


def test_a_stage_is_over_by_whichever_limit_comes_first() -> None:
    schedule = Schedule((10, 30), 25.0, SHARES)
    assert schedule.finished(Counters(step=5, elapsed=1.0)) == 0.5
    assert schedule.finished(Counters(step=5, elapsed=4.0)) == 0.8
    assert schedule.finished(Counters(step=10, elapsed=1.0)) >= 1


def test_an_early_end_leaves_the_rest_to_the_next_stage() -> None:
    assert Schedule((10, 30), None, SHARES).finished(Counters(step=18, entered=6, stage=1)) == 0.5
    late = Counters(stage=1, entered_at=5.0, elapsed=15.0)
    assert Schedule(None, 25.0, SHARES).finished(late) == 0.5


def test_what_came_before_learning_is_taken_from_all_stages() -> None:
    assert Schedule(None, 25.0, SHARES).finished(Counters(entered_at=15.0, elapsed=16.0)) == 0.5


def test_the_last_stage_ends_where_no_step_and_look_fit_any_more() -> None:
    schedule, first, last = Schedule(None, 25.0, SHARES), Counters(elapsed=4.0), Counters(elapsed=24.0, stage=1)
    assert schedule.finished(first, ahead=2.0) == 0.8
    assert schedule.finished(last, ahead=0.5) < 1 <= schedule.finished(last, ahead=2.0)


def test_a_stage_without_room_is_over_at_once() -> None:
    assert Schedule((0, 30), None, SHARES).finished(Counters()) == 1.0


def test_the_choice_of_how_to_retrain_is_kept_a_tenth_of_the_time_and_one_retraining_at_least(recipe: Recipe) -> None:
    steps = recipe.retrain.steps
    assert reserved(Pace(0.1, 1.0), recipe, 10.0) == pytest.approx(1.2 * (0.1 * steps + 1.0))
    assert reserved(Pace(0.1, 1.0), recipe, 500.0) == pytest.approx(50.0)
    assert reserved(Pace(0.1, 1.0), recipe, 10_000.0) == pytest.approx(12 * 0.1 * steps + 7)


def test_a_retraining_whose_rate_falls_from_the_first_step_on_is_made_shorter_where_time_is_short(
    recipe: Recipe,
) -> None:
    pace = Pace(0.1, 1.0)
    falling = replace(recipe, retrain=replace(recipe.retrain, steps=1000, decay=1.0))
    assert affordable(falling.retrain, pace, 404.0) == falling.retrain
    assert affordable(falling.retrain, pace, 84.0) == replace(falling.retrain, steps=200)
    assert affordable(falling.retrain, pace, 1.0).steps == 1
    assert reserved(pace, falling, 84.0) == pytest.approx(1.2 * 21.0)
    steady = replace(falling.retrain, decay=0.5)
    assert affordable(steady, pace, 84.0) == steady
