"""The choice of how to retrain: greedy on validation, within the time, and honest about what it tried."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from memcli.data.sources import open_source
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.networks import build
from memcli.progress import Silent
from memcli.seeds import generator
from memcli.training.choose import choose, pace, retrained_accuracy
from memcli.training.loop import accuracy, recalled_batches, train
from memcli.training.recipe import TrainRecipe

SOURCE = open_source("fake:n=60,test=10,classes=3,shape=1x8x8")
SPEC = MemorySpec(SOURCE.spec, bases=3, scale=2, rows=4)
MEMORY = Memory(SPEC, **{name: torch.randn(s, generator=generator(0, name)) for name, s in SPEC.shapes.items()})
RECIPE = TrainRecipe("mlp:width=8,depth=2", steps=10, batch=6, lr=0.1)
VALIDATION = SOURCE.split("train")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Lets a made-up judge stand for training; returns the recipes that it was asked about."""

    def by(judge: Callable[[TrainRecipe], float]) -> list[TrainRecipe]:
        asked: list[TrainRecipe] = []

        def accuracy_of(_memory: object, recipe: TrainRecipe, _validation: object, _seed: int) -> float:
            asked.append(recipe)
            return judge(recipe)

        monkeypatch.setattr("memcli.training.choose.retrained_accuracy", accuracy_of)
        return asked

    return by


def test_changes_that_help_are_kept_and_others_taken_back(judged: Callable) -> None:
    asked = judged(lambda recipe: 0.5 + (recipe.mixture > 0) * 0.1 + (recipe.steps == 20) * 0.1 - (recipe.decay > 0))
    best, reached = choose(MEMORY, RECIPE, VALIDATION, 0)
    assert reached == pytest.approx(0.7)
    assert (best.steps, best.mixture, best.decay, best.lr, best.augment) == (20, 0.5, 0.0, 0.1, "")
    assert asked[0] == RECIPE
    assert asked[1] == replace(RECIPE, augment="rotate")


@pytest.mark.parametrize(("left", "unit"), [(None, "recipes"), (60.0, "s"), (-1.0, "recipes")])
def test_the_time_that_is_left_is_told_where_time_ends_the_choice(
    judged: Callable, left: float | None, unit: str
) -> None:
    class Told(Silent):
        def __init__(self) -> None:
            self.units: list[str] = []
            self.amounts: list[float] = []

        def begin(self, *told: Any, **_: Any) -> None:
            self.amounts.append(told[1])
            self.units.append(told[2])

        def update(self, done: float, **_: float) -> None:
            assert done <= self.amounts[0]
            self.amounts.append(done)

    judged(lambda _: 0.5)
    told = Told()
    choose(MEMORY, RECIPE, VALIDATION, 0, progress=told, ends=None if left is None else time.monotonic() + left)
    assert told.units == [unit]
    assert told.amounts[0] == (pytest.approx(60, abs=1) if unit == "s" else 7)
    assert told.amounts[-1] == (pytest.approx(0, abs=30) if unit == "s" else 7 if left is None else 1)


def test_a_pace_tells_how_long_networks_take() -> None:
    measured = pace(MEMORY, RECIPE, VALIDATION)
    assert measured.step > 0
    assert measured.seconds(10) == pytest.approx(10 * measured.step + measured.test)
    steady, falling = (replace(RECIPE, steps=10, decay=decay) for decay in (0.0, 1.0))
    assert measured.whole_choice(steady) == pytest.approx(12 * 10 * measured.step + 7 * measured.test)
    assert measured.whole_choice(falling) == pytest.approx(5 * 10 * measured.step + 5 * measured.test)


def test_a_training_whose_rate_falls_from_the_first_step_on_is_given_no_more_steps(judged: Callable) -> None:
    asked = judged(lambda recipe: 0.5 + 0.001 * recipe.steps)
    falling = replace(RECIPE, decay=1.0)
    assert choose(MEMORY, falling, VALIDATION, 0)[0] == falling
    assert len(asked) == 5
    assert {recipe.steps for recipe in asked} == {RECIPE.steps}


@pytest.mark.parametrize("operation", ["flip", "rotate"])
def test_an_augmentation_is_taken_only_where_it_helps(judged: Callable, operation: str) -> None:
    judged(lambda recipe: 0.5 + 0.1 * (operation in recipe.augment))
    assert choose(MEMORY, RECIPE, VALIDATION, 0)[0].augment == operation
    assert choose(MEMORY, replace(RECIPE, augment="shift"), VALIDATION, 0)[0].augment == f"{operation},shift"
    judged(lambda recipe: 0.5 - 0.1 * (operation in recipe.augment))
    assert choose(MEMORY, RECIPE, VALIDATION, 0)[0].augment == ""


def test_without_time_only_the_recipe_itself_is_tried(judged: Callable) -> None:
    asked = judged(lambda _: 0.5)
    assert choose(MEMORY, RECIPE, VALIDATION, 0, ends=time.monotonic() - 1) == (RECIPE, 0.5)
    assert asked == [RECIPE]


def test_a_change_whose_steps_take_too_long_is_passed_over_and_later_ones_are_not(
    judged: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probed(_memory: object, recipe: TrainRecipe) -> tuple[None, float]:
        return None, 100.0 if "rotate" in recipe.augment else 0.0

    monkeypatch.setattr("memcli.training.choose._probed", probed)
    asked = judged(lambda recipe: 0.5 + 0.001 * recipe.steps)
    assert choose(MEMORY, RECIPE, VALIDATION, 0, ends=time.monotonic() + 600)[0].steps == 40
    assert [(each.augment, each.steps) for each in asked] == [
        ("", 10),
        ("", 20),
        ("flip", 20),
        ("", 20),
        ("", 20),
        ("", 40),
    ]
    asked = judged(lambda recipe: 0.5 + 0.001 * recipe.steps)
    choose(MEMORY, RECIPE, VALIDATION, 0)
    assert "rotate" in asked[1].augment, "without an end nothing is passed over"


def test_a_rate_that_diverges_has_a_pace() -> None:
    assert pace(MEMORY, replace(RECIPE, lr=1e3), VALIDATION).step > 0


def test_the_accuracy_is_that_of_a_network_trained_by_the_recipe() -> None:
    recipe = TrainRecipe("mlp:width=8,depth=2", steps=10, batch=6, lr=0.1, decay=1.0, augment="shift", mixture=0.5)
    network = build(recipe.network, SOURCE.spec, seed=3)
    train(network, recipe, recalled_batches(MEMORY, 6, 3, 0.5), seed=3)
    assert retrained_accuracy(MEMORY, recipe, VALIDATION, 3) == accuracy(network, VALIDATION, SOURCE.spec)


def test_a_training_that_diverges_counts_as_nothing() -> None:
    assert retrained_accuracy(MEMORY, TrainRecipe("mlp", steps=10, batch=6, lr=1e3), VALIDATION, 0) == 0.0
