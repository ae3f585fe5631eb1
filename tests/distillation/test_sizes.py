"""What the size of images decides in a recipe."""

from dataclasses import replace

import pytest

from memcli.data.spec import DataSpec
from memcli.distillation.recipe import RECIPES, Recipe, load_recipe
from memcli.distillation.sizes import fitted


def spec(height: int, width: int) -> DataSpec:
    return DataSpec("photographs", 3, height, width, ("a", "b"), (0.5,) * 3, (0.2,) * 3)


def networks(recipe: Recipe) -> list[str]:
    return [*(stage.objective.network for stage in recipe.stages), recipe.check.network, recipe.retrain.network]


@pytest.mark.parametrize("name", RECIPES.versions)
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 32), (63, 100)])
def test_small_images_leave_every_recipe_as_it_is(name: str, size: tuple[int, int]) -> None:
    assert fitted(load_recipe(name), spec(*size)) == load_recipe(name)


@pytest.mark.parametrize(
    ("side", "last", "check", "retrain"),
    [
        (64, "width=32,depth=4", "width=32,depth=4", "depth=4"),
        (128, "width=32,side=64,depth=4", "width=32,depth=5", "width=64,depth=5"),
        (224, "width=32,side=64,depth=4", "width=32,side=96,depth=4", "width=32,depth=6"),
    ],
)
def test_large_images_have_deeper_networks_that_see_less_of_them(
    side: int, last: str, check: str, retrain: str
) -> None:
    small = "convnet:width=32,depth=2,side=14"  # says all of it, and stays
    expected = [small, small, *(f"convnet:{settings}" for settings in (last, check, retrain))]
    assert networks(fitted(load_recipe("quick"), spec(side, side))) == expected


def test_the_shorter_side_counts_and_what_a_recipe_says_stays() -> None:
    recipe = load_recipe("quick")
    assert networks(fitted(recipe, spec(64, 224))) == networks(fitted(recipe, spec(64, 64)))
    given = replace(recipe, retrain=replace(recipe.retrain, network="convnet:width=128,depth=3"))
    assert fitted(given, spec(128, 128)).retrain == given.retrain
