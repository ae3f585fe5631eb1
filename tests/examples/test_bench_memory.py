"""The benchmark of memory takes every recipe, also that of many classes."""

import bench_memory
import pytest

from memcli.distillation.recipe import RECIPES, load_recipe
from memcli.distillation.sizes import fitted


@pytest.mark.parametrize("classes", [3, 200])
def test_recipes_are_measured_with_trainings_that_are_young(classes: int) -> None:
    spec = bench_memory.made(classes, 32).spec
    for name in RECIPES:
        young = bench_memory.young(fitted(load_recipe(name), spec))
        assert young.check.steps <= bench_memory.LOOKED
        for stage in young.stages:
            old = [getattr(stage.objective, "age", 1), getattr(stage.objective, "further", 1)]
            assert max(old) <= 2
