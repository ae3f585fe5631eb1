"""What the size of images and the number of classes decide in a recipe."""

from dataclasses import replace

import pytest

from memcli.data.spec import DataSpec
from memcli.distillation.recipe import RECIPES, Recipe, load_recipe
from memcli.distillation.sizes import fitted, suited, usual
from memcli.memory.spec import MemorySpec
from memcli.objectives.ridge import Ridge
from memcli.objectives.unrolled import Unrolled
from memcli.training.recipe import TrainRecipe


def spec(height: int, width: int) -> DataSpec:
    return DataSpec("photographs", 3, height, width, ("a", "b"), (0.5,) * 3, (0.2,) * 3)


def many(classes: int) -> DataSpec:
    return replace(spec(32, 32), classes=tuple(map(str, range(classes))))


def networks(recipe: Recipe) -> list[str]:
    return [*(stage.objective.network for stage in recipe.stages), recipe.check.network, recipe.retrain.network]


@pytest.mark.parametrize(
    ("shape", "classes", "seconds", "name"),
    [
        ((1, 28, 28), 10, None, "quick"),
        ((1, 28, 28), 10, 599, "quick"),
        ((1, 28, 28), 10, 600, "best"),
        ((1, 14, 14), 99, 600, "best"),
        ((1, 13, 28), 10, 36000, "quick"),
        ((3, 28, 28), 10, 1799, "quick"),
        ((3, 28, 28), 10, 1800, "best"),
        ((1, 56, 56), 10, 2399, "quick"),
        ((1, 56, 56), 10, 2400, "best"),
        ((1, 28, 28), 100, 36000, "quick"),
    ],
)
def test_the_usual_recipe_is_best_where_there_is_time_for_it(
    shape: tuple[int, int, int], classes: int, seconds: float | None, name: str
) -> None:
    names = tuple(map(str, range(classes)))
    assert usual(DataSpec("some", *shape, names, (0.5,) * shape[0], (0.2,) * shape[0]), seconds) == name


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


def test_networks_that_take_turns_are_each_sized() -> None:
    recipe = load_recipe("quick").changed({"stages": [{"objective": {"network": "convnet:width=8 + mlp+strided"}}]})
    assert networks(fitted(recipe, spec(128, 128)))[0] == "convnet:width=8,side=64,depth=4 + mlp + strided"
    assert fitted(recipe, spec(32, 32)).stages[0].objective.turns == recipe.stages[0].objective.turns


def test_the_shorter_side_counts_and_what_a_recipe_says_stays() -> None:
    recipe = load_recipe("quick")
    assert networks(fitted(recipe, spec(64, 224))) == networks(fitted(recipe, spec(64, 64)))
    given = replace(recipe, retrain=replace(recipe.retrain, network="convnet:width=128,depth=3"))
    assert fitted(given, spec(128, 128)).retrain == given.retrain


@pytest.mark.parametrize("name", RECIPES.versions)
def test_ten_classes_and_recipes_that_say_images_of_each_class_are_left_as_they_are(name: str) -> None:
    recipe = load_recipe(name)
    assert fitted(recipe, many(10)) == recipe
    if name not in ("quick@2", "quick@3", "best@3", "best@4", "gpu@3", "many@1"):
        assert fitted(recipe, many(200)) == recipe


@pytest.mark.parametrize("name", ["quick@2", "best@4", "gpu@3"])
@pytest.mark.parametrize("classes", [11, 20, 100, 200, 1000])
def test_with_more_classes_trainings_see_a_hundred_images_of_each_and_a_step_costs_the_same(
    name: str, classes: int
) -> None:
    recipe = load_recipe(name)
    found = fitted(recipe, many(classes))
    pairs = zip(recipe.stages, found.stages, strict=True)
    trainings = [(recipe.check, found.check), (recipe.retrain, found.retrain)]
    times = (classes / 10) ** 0.5
    for was, now in pairs:
        assert now.outer.lr == pytest.approx(was.outer.lr / times)
        if isinstance(now.objective, Ridge):
            assert now.objective.images >= max(was.objective.images, 2 * classes)
            continue
        assert isinstance(was.objective, Unrolled)
        assert isinstance(now.objective, Unrolled)
        trainings.append(tuple(TrainRecipe(steps=o.steps, batch=o.images) for o in (was.objective, now.objective)))
        window = was.objective.window or was.objective.steps
        real = min(5 * classes, window * was.objective.images)
        assert now.objective.real_images == max(was.objective.real_images, real)
        assert now.objective.images_per_step(classes) == window * was.objective.images
    for was, now in trainings:
        assert now.steps * now.batch >= max(was.steps * was.batch, 100 * classes)
        assert (now.steps - 1) * now.batch < max(was.steps * was.batch, 100 * classes)
    assert found.check.batch >= classes // 2
    for was, now in ((recipe, found), (recipe.check, found.check), (recipe.retrain, found.retrain)):
        assert now.lr == pytest.approx(times * was.lr)


def test_quick_2_for_two_hundred_classes() -> None:
    found = fitted(load_recipe("quick@2"), many(200))
    assert [getattr(stage.objective, "steps", None) for stage in found.stages] == [None, 400, 1000]
    assert [getattr(stage.objective, "window", None) for stage in found.stages] == [None, 20, 20]
    assert (found.check.steps, found.check.batch, found.retrain.steps, found.retrain.batch) == (200, 100, 200, 100)


def test_quick_is_another_recipe_from_a_hundred_classes_on() -> None:
    quick = load_recipe("quick")
    assert [stage.kind for stage in fitted(quick, many(99)).stages] == ["ridge", "unrolled", "unrolled"]
    found = fitted(quick, many(100))
    assert found == replace(fitted(load_recipe("many@1"), many(100)), name="quick")
    assert [stage.kind for stage in found.stages] == ["features"]
    assert found.retrain.lr == pytest.approx(0.007 * 10**0.5)


def test_images_without_colours_are_not_flipped_with_many_classes() -> None:
    def augmented(channels: int) -> list[str]:
        found = fitted(
            load_recipe("quick"), replace(many(100), channels=channels, mean=(0.5,) * channels, std=(0.2,) * channels)
        )
        return [found.stages[0].objective.augment, found.check.augment, found.retrain.augment]

    assert augmented(3) == ["flip", "flip,warp,cutout", "flip,warp,cutout"]
    assert augmented(1) == ["", "warp,cutout", "warp,cutout"]


def test_a_retraining_sees_each_recalled_image_four_times_at_a_rate_that_then_falls() -> None:
    recipe, data = RECIPES["best@4"], many(10)  # 150 steps of 50 images

    def retraining(rows: int, recipe: Recipe = recipe, support: int = 2) -> TrainRecipe:
        return suited(recipe, MemorySpec(data, bases=8, scale=2, rows=rows, support=support)).retrain

    assert retraining(187) == retraining(187, support=0) == recipe.retrain
    longer = replace(recipe.retrain, steps=161, lr=3 * recipe.retrain.lr, decay=1.0)
    assert retraining(201) == retraining(201, support=0) == longer
    assert retraining(201, RECIPES["best@2"]) == RECIPES["best@2"].retrain  # which says images of each class
    falling = replace(recipe, retrain=replace(recipe.retrain, decay=1.0))
    assert retraining(201, falling) == replace(falling.retrain, steps=161)


@pytest.mark.parametrize(("ipc", "share"), [(1, 1.0), (4, 1.0), (16, 0.5), (100, 0.2)])
def test_muon_moves_a_memory_of_many_numbers_by_less(ipc: int, share: float) -> None:
    data = many(10)
    rows = round(ipc * data.floats_per_image / 8)
    spec = MemorySpec(data, bases=8, scale=2, rows=rows)
    found, recipe = suited(RECIPES["best@4"], spec), RECIPES["best@4"]
    assert [stage.outer.lr for stage in found.stages] == pytest.approx(
        [share * stage.outer.lr for stage in recipe.stages], rel=0.1
    )
    assert suited(RECIPES["paper"], spec).stages == RECIPES["paper"].stages  # SGD's steps are smaller by themselves
