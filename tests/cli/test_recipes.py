"""`memcli recipes`: the list, and a recipe as a file that gives the same recipe."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from memcli.distillation.recipe import RECIPES, load_recipe
from memcli.distillation.toml import to_toml


def test_the_list(run: Callable) -> None:
    told = json.loads(run("recipes", "--json").stdout)["recipes"]
    assert list(told) == list(RECIPES)
    assert told["best"]["version"] == RECIPES.version("best")
    assert [stage["objective"] for stage in told["quick"]["stages"]] == [
        stage.kind for stage in RECIPES["quick"].stages
    ]
    lines = run("recipes").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)


@pytest.mark.parametrize("name", [*RECIPES, *RECIPES.versions])
def test_what_is_printed_gives_the_same_recipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "saved.toml"
    path.write_text(to_toml(RECIPES[name]), encoding="utf-8")
    assert load_recipe(str(path)) == replace(RECIPES[name], name="saved")


def test_a_file_of_changes_is_printed_whole(run: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "paper"\nlr = 0.5\n[retrain]\nnetwork = "mlp:width=8"\n')
    printed = run("recipes", tmp_path / "mine.toml")
    (tmp_path / "whole.toml").write_text(printed.stdout)
    assert load_recipe(str(tmp_path / "whole.toml")).to_json() == {
        **load_recipe(str(tmp_path / "mine.toml")).to_json(),
        "name": "whole",
    }
    assert json.loads(run("recipes", "quick", "--json").stdout)["recipe"] == RECIPES["quick"].to_json()


def test_an_unknown_recipe(run: Callable) -> None:
    refused = run("recipes", "nothing")
    assert refused.exit_code == 2
    assert "unknown recipe 'nothing'. Choose from quick, best" in refused.stderr
