"""Recipes: named, printable, changed by files, and refused where they make no sense."""

import json
import re
import tomllib
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import pytest

from memcli.distillation import recipe as recipes
from memcli.distillation.optimisers import OUTER_OPTIMISERS
from memcli.distillation.recipe import RECIPES, Recipe, Stage, load_recipe, recipe_from_json
from memcli.engine import INNER_OPTIMISERS
from memcli.errors import DataError, UsageError
from memcli.files.inspection import inspect
from memcli.objectives import OBJECTIVES, ObjectiveKind
from memcli.objectives.base import Shared
from memcli.objectives.ridge import Ridge

FOLDER = Path(recipes.__file__).parent / "recipes"
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
FROZEN = {  # of every version, the first digits of the SHA-256 of its JSON without the name
    "best@1": "1b4d11cfab8cfe5f",
    "best@2": "f257f6e8d830e377",
    "best@3": "74df89ff2e5b44f2",
    "best@4": "bdb7cdace608d73b",
    "gpu@1": "2ee336663d319994",
    "gpu@2": "2efb62f64b96e1e3",
    "gpu@3": "9c0478075c6b8821",
    "many@1": "937d3d6e3e2984c6",
    "paper@1": "99a5b1da7e9fc6f3",
    "quick@1": "80695edcd5dc38aa",
    "quick@2": "7aa6e27d251b8a14",
    "quick@3": "816400e919d23c55",
}


class Point:
    """What an entry point of a plug-in does."""

    def __init__(self, member: object) -> None:
        self.member, self.value = member, "lab:MEMBER"

    def load(self) -> object:
        return self.member


def test_the_paper_s_settings() -> None:
    recipe = load_recipe("paper")
    (stage,) = recipe.stages
    inner, outer = stage.objective, stage.outer
    assert (inner.steps, inner.per_class, recipe.lr, inner.momentum, inner.real_per_class) == (150, 32, 0.01, 0.9, 64)
    assert (outer.optimiser, outer.lr, outer.momentum, outer.clip) == ("sgd", 0.1, 0.5, 2.0)
    assert recipe.start == "noise"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_plain_json_and_rebuilt_from_it(name: str) -> None:
    recipe = load_recipe(name)
    stored = json.loads(json.dumps(recipe.to_json()))
    assert load_recipe("quick").changed(stored) == recipe


def test_the_last_share_of_an_outer_rate_is_told_where_it_is_not_a_tenth() -> None:
    quick = load_recipe("quick")
    to_zero = quick.changed({"stages": [{}, {}, {"outer": {"last": 0.0}}]})
    assert [stage.outer.last for stage in to_zero.stages] == [0.1, 0.1, 0.0]
    told = json.loads(json.dumps(to_zero.to_json()))
    assert [stage["outer"].get("last") for stage in told["stages"]] == [None, None, 0.0]
    assert recipe_from_json(told) == to_zero


@pytest.mark.parametrize("version", RECIPES.versions)
def test_a_version_states_every_setting_and_never_changes(version: str) -> None:
    """A change of a default, or of a released file, would change what a memory file says it was made by."""
    plain = load_recipe(version).to_json()
    assert plain.pop("name") == version
    assert tomllib.loads((FOLDER / f"{version}.toml").read_text(encoding="utf-8")) == plain
    assert sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16] == FROZEN[version]


@pytest.mark.parametrize(
    ("row", "version"),
    [
        ("fashion-1-minute", "quick@1"),
        ("fashion-1-best", "best@1"),
        ("fashion-1-int8-best", "best@1"),
        ("fashion-1-best-10-minutes", "best@2"),
        ("cifar10-1-gpu", "gpu@1"),
        ("cifar10-1-int8-gpu", "gpu@2"),
        ("fashion-1-int8-gpu", "gpu@2"),
    ],
)
def test_a_version_is_what_a_published_memory_was_made_by(row: str, version: str) -> None:
    """But for the name, and for the most steps of a stage, which runs with a time budget do not look at."""
    made_by = inspect(ROOT / "docs" / "results" / row / "memory.safetensors").manifest.recipe
    recipe = load_recipe(version)
    stages = [{key: value for key, value in stage.items() if key != "steps"} for stage in made_by["stages"]]
    told = {key: value for key, value in made_by.items() if key not in ("name", "steps")}
    assert len(stages) == len(recipe.stages)
    assert recipe.changed({**told, "stages": stages}) == recipe


def test_a_recipe_that_is_changed_is_not_replaced_with_many_classes_unless_it_says_so(tmp_path: Path) -> None:
    quick = load_recipe("quick")
    assert quick.many == "many@1"
    assert quick.changed({"lr": 0.1}).many == ""
    assert "many" not in quick.changed({"lr": 0.1}).to_json()
    path = tmp_path / "mine.toml"
    path.write_text('many = "quick@2"')
    assert load_recipe(str(path)).many == "quick@2"
    path.write_text('many = "quick"')
    with pytest.raises(UsageError, match=r"recipe: many is 'quick'\. Choose from best@1, .*, or leave it out"):
        load_recipe(str(path))


def test_a_plain_name_is_the_newest_version() -> None:
    newest: dict[str, int] = {}
    for version in RECIPES.versions:
        name, number = version.split("@")
        newest[name] = max(newest.get(name, 0), int(number))
    assert newest.keys() == set(RECIPES)
    for name, number in newest.items():
        found, same = load_recipe(name), load_recipe(f"{name}@{number}")
        assert (found.name, same.name) == (name, f"{name}@{number}")
        assert found.stages == same.stages


def test_a_file_may_be_based_on_a_version(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "best@1"\nholdout = 0.2\n')
    assert load_recipe(str(path)).stages == load_recipe("best@1").stages != load_recipe("best").stages


@pytest.mark.parametrize(("older", "newer"), [("quick@1", "quick@2"), ("best@2", "best@3"), ("gpu@2", "gpu@3")])
def test_a_recipe_that_says_images_a_step_is_for_ten_classes_what_it_was(older: str, newer: str) -> None:
    old, new = load_recipe(older), load_recipe(newer)
    for was, now in zip(old.stages, new.stages, strict=True):
        for objective in (was.objective, now.objective):
            assert isinstance(objective, Shared)
        assert now.objective.recalled_images(10) == was.objective.recalled_images(10)
        assert now.objective.outer_images(10) == was.objective.outer_images(10)
        assert now.objective.recalled_images(200) == now.objective.recalled_images(10)
        same = {name: getattr(was.objective, name) for name in ("per_class", "real_per_class", "images", "real_images")}
        assert replace(now, objective=replace(now.objective, **same)) == was
    for name in ("check", "retrain"):
        was, now = getattr(old, name), getattr(new, name)
        assert now.images(10) == was.images(10)
        assert replace(now, sampled=False) == was


def test_a_file_says_images_of_each_class_or_a_step_whatever_its_base_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('base = "quick"\n[[stages]]\nobjective.per_class = 3\n')
    (stage,) = load_recipe(str(path)).stages
    assert (stage.objective.recalled_images(200), stage.objective.outer_images(200)) == (600, 200)
    path.write_text('base = "best@1"\n[[stages]]\nobjective.images = 30\n')
    recipe = load_recipe(str(path))
    assert (recipe.stages[0].objective.recalled_images(7), recipe.stages[0].objective.outer_images(7)) == (30, 140)
    assert load_recipe("quick").changed(recipe.to_json()) == recipe
    path.write_text("[[stages]]\nobjective.images = 30\nobjective.per_class = 3\n")
    with pytest.raises(UsageError, match=r"recipe: both images and per_class are given\. Give one of them"):
        load_recipe(str(path))


@pytest.mark.parametrize("version", ["best@9", "best@", "best@1.toml/../best@1", "../recipes/best@1"])
def test_an_unknown_version_is_refused(version: str) -> None:
    with pytest.raises(
        UsageError, match=r"unknown recipe .*\. Choose from best@1, best@2, best@3, best@4, gpu@1, .* or name a .toml"
    ):
        load_recipe(version)


def test_a_plug_in_s_recipe_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = load_recipe("quick").changed({"name": "lab", "holdout": 0.3})
    monkeypatch.setitem(RECIPES.__dict__, "plugins", {"lab": Point(lab), "odd": Point("lab.toml")})
    monkeypatch.setattr(RECIPES, "_loaded", {})
    assert load_recipe("lab") is lab
    assert list(RECIPES)[-2:] == ["lab", "odd"]
    with pytest.raises(UsageError, match=r"of the recipe 'odd' is a str, and no Recipe\. Let its entry point name"):
        load_recipe("odd")


def test_a_plug_in_s_objective_is_named_by_recipes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is made, changed and stored as memcli's own are, and must be registered under the name it gives itself."""

    @dataclass(frozen=True)
    class Luck(Ridge):
        kind: ClassVar[str] = "luck"
        coins: int = 3

    points: dict[str, Any] = {"luck": Point(ObjectiveKind(Luck)), "chance": Point(ObjectiveKind(Luck))}
    monkeypatch.setitem(OBJECTIVES.__dict__, "plugins", points)
    monkeypatch.setattr(OBJECTIVES, "_loaded", {})
    path = tmp_path / "mine.toml"
    path.write_text('[[stages]]\nobjective.kind = "luck"\nobjective.coins = 5\n')
    found: Recipe = load_recipe(str(path))
    assert found.stages[0].objective == Luck(coins=5)
    assert found.to_json()["stages"][0]["objective"]["coins"] == 5
    assert load_recipe("quick").changed(found.to_json()) == found
    assert found.most_rows(10) is None
    path.write_text('[[stages]]\nobjective.kind = "chance"\n')
    with pytest.raises(UsageError, match=r"the objective 'chance' calls itself 'luck'\. Let its settings' `kind` be"):
        load_recipe(str(path))


def test_a_file_changes_the_recipe_that_it_is_based_on(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'base = "paper"\nlr = 1\n[[stages]]\nsteps = 7\nobjective.network = "mlp"\n'
        '[[stages]]\nobjective.kind = "ridge"\nobjective.age = 3\n[retrain]\nsteps = 9\n'
    )
    recipe = load_recipe(str(path))
    first, second = recipe.stages
    assert (recipe.name, recipe.steps, recipe.retrain.steps, recipe.lr) == ("mine", 7 + second.steps, 9, 1.0)
    assert (first.objective.network, first.objective.steps, first.outer.optimiser) == ("mlp", 150, "sgd")
    assert second == Stage(Ridge(age=3))


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"unknown recipe 'fast'\. Choose from quick, best, gpu, paper, many, or name a .toml file"
    ):
        load_recipe("fast")


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read recipe .*gone.toml"):
        load_recipe(str(tmp_path / "gone.toml"))
    (tmp_path / "broken.toml").write_text("steps =")
    with pytest.raises(DataError, match="cannot read recipe"):
        load_recipe(str(tmp_path / "broken.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "slow"', r"has base 'slow'\. Choose from quick, best, gpu, paper, many"),
        ("base = [1]", r"has base '\[1\]'\. Choose from quick, best, gpu, paper, many"),
        ("stepz = 3", r"unknown recipe setting 'stepz'\. Choose from .*stages"),
        ("[[stages]]\nobjective.rate = 3", r"setting 'stages.0.objective.rate'\. Choose from .*network"),
        ("check_networks = 1.5", r"recipe setting 'check_networks' is 1.5\. Give a value like \d+"),
        ("check_networks = true", r"recipe setting 'check_networks' is True\. Give a value like \d+"),
        ("check = 3", r"recipe setting 'check' is 3\. Give a table"),
        ("[stages]\nsteps = 3", r"recipe setting 'stages' is no list of tables\. Write each stage as \[\[stages\]\]"),
        ("stages = []", r"recipe: there is no stage\. Give one \[\[stages\]\] or more"),
        ("[[stages]]\nobjective = 3", r"recipe setting 'stages.0.objective' is 3\. Give a table"),
        ('[[stages]]\nobjective.kind = "luck"', r"there is no objective 'luck'\. Choose from unrolled, ridge"),
        ("[[stages]]\nsteps = 0", r"recipe: steps is 0\. Give 1 or more"),
        ("[[stages]]\nshare = 0", r"recipe: share is 0.0\. Give a positive number"),
        ("[[stages]]\npatience = -1", r"recipe: patience is -1\. Give 0 or more"),
        ("[[stages]]\nobjective.momentum = 1", r"recipe: momentum is 1.0\. Give a number in \[0, 1\)"),
        (
            '[[stages]]\nobjective.kind = "unrolled"\nobjective.window = 21',
            r"recipe: window is 21\. Give 0 to 20, the steps",
        ),
        *(
            (
                f'[[stages]]\nobjective.kind = "unrolled"\nobjective.window = {window}\nobjective.pool = {pool}',
                rf"recipe: pool is {pool} and window {window}\. Give a window, or 0 for the pool",
            )
            for window, pool in ((0, 2), (5, -1))
        ),
        ('[[stages]]\nobjective.augment = "spin"', r"'spin' is no augmentation\. Choose from flip"),
        ("[[stages]]\nouter.lr = 0", r"recipe: lr is 0.0\. Give a positive number"),
        ("lr = nan", r"recipe: lr is nan\. Give a positive number"),
        ("[[stages]]\nouter.decay = 1", r"recipe: decay is 1.0\. Give a number in \[0, 1\)"),
        ("[[stages]]\nouter.last = -0.1", r"recipe: last is -0.1\. Give a number in \[0, 1\)"),
        ("holdout = 1.0", r"recipe: holdout is 1.0\. Give a share between 0 and 1"),
        ('start = "luck"', r"recipe: start is 'luck'\. Choose from data, easy, noise"),
        ('[[stages]]\nouter.optimiser = "lion"', r"recipe: optimiser is 'lion'\. Choose from adam, muon, sgd"),
        (
            '[[stages]]\nobjective.kind = "unrolled"\nobjective.optimiser = "muon"',
            r"recipe: optimiser is 'muon'\. Choose from sgd, adam",
        ),
        ("[retrain]\nlr = -1", r"rate -1.0 with momentum 0.9 cannot train"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_recipe(str(path))


def test_most_rows_are_those_that_every_training_sees_twice() -> None:
    wanted = {"quick": 20, "best": 600, "gpu": 600, "paper": 2400, "many": None}
    assert {name: load_recipe(name).most_rows(10) for name in RECIPES} == wanted


def rows(title: str) -> set[str]:
    """The names in the first column of the page's table whose first title that is."""
    table = PAGE.split(f"\n| {title} |")[1].split("\n\n")[0]
    return set(re.findall(r"^\| `(\S+)` \|", table, re.MULTILINE))


def test_the_page_has_a_row_for_every_name() -> None:
    assert rows("recipe") == set(RECIPES)
    assert rows("version") == set(RECIPES.versions)
    assert rows("objective") == set(OBJECTIVES)
    assert rows("inner optimiser") == set(INNER_OPTIMISERS)
    assert rows("outer optimiser") == set(OUTER_OPTIMISERS)


def test_the_example_of_the_page_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(PAGE.split("```toml\n")[1].split("```")[0])
    recipe = load_recipe(str(path))
    assert [(stage.kind, stage.steps) for stage in recipe.stages] == [("ridge", 200), ("unrolled", 1000)]
