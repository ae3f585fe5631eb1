"""Recipes: how a memory is distilled, in plain numbers, as they are stored in every memory file.

Each version of one of memcli's recipes is a file in recipes/, which never changes once it is released.
"""

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from memcli.checks import at_least_one, below_one, not_negative, one_of, positive
from memcli.distillation.optimisers import OUTER_OPTIMISERS
from memcli.errors import DataError, UsageError
from memcli.files import tomlfile
from memcli.objectives import OBJECTIVES, ObjectiveSettings
from memcli.registry import Registry
from memcli.text import printable
from memcli.training.recipe import TrainRecipe

STARTS = ("data", "easy", "noise")
_FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Outer:
    """The optimiser that moves the memory."""

    optimiser: str = "adam"  # a name in OUTER_OPTIMISERS
    lr: float = 0.02
    momentum: float = 0.9  # of sgd and muon; Adam's first beta
    clip: float = 2.0  # largest norm of the gradient over all parts of the memory together
    decay: float = 0.0  # the share of the stage, at its end, in which the rate falls to `last`; 0: constant
    average: float = 0.98  # decay of the moving average of the memory, which is measured and kept; 0: no average
    last: float = 0.1  # the share of the rate that is left at the end of its decay

    def __post_init__(self) -> None:
        positive(self, "lr", "clip")
        below_one(self, "momentum", "decay", "average", "last")
        one_of(self, "optimiser", tuple(OUTER_OPTIMISERS))


@dataclass(frozen=True)
class Stage:
    """A part of a distillation: one objective and one optimiser, until its steps, time or patience end."""

    objective: ObjectiveSettings
    outer: Outer = Outer()
    steps: int = 300  # outer steps, at most
    share: float = 1.0  # of a time budget, relative to those of the other stages
    check_every: int = 25  # outer steps from one measurement on the validation part to the next
    patience: int = 0  # measurements without a better memory that end the stage; 0: it never ends early

    def __post_init__(self) -> None:
        at_least_one(self, "steps", "check_every")
        positive(self, "share")
        not_negative(self, "patience")

    @property
    def kind(self) -> str:
        """The name of the objective: a key of OBJECTIVES."""
        return self.objective.kind

    def to_json(self) -> dict[str, Any]:
        """Plain values. `outer.last` is newer than the first recipes, and only told where it is not theirs."""
        told = {**asdict(self), "objective": {**self.objective.to_json(), "kind": self.kind}}
        if self.outer.last == Outer.last:
            del told["outer"]["last"]
        return told


@dataclass(frozen=True)
class Recipe:
    """One way to distil, from the start to the recipe by which networks are trained later."""

    name: str
    start: str  # "data": an SVD of down-scaled real images; "easy": of the easiest quarter of each class; "noise"
    lr: float  # the inner rate to start from; stages may learn it
    stages: tuple[Stage, ...]  # one after the other, each from the best memory so far
    check: TrainRecipe  # how networks are trained to measure a memory; its rate follows the learned one
    check_networks: int  # fresh networks that are trained to measure a memory
    check_images: int  # images of the validation part that they are tested on, at most
    holdout: float  # share of the training part that is kept for validation
    retrain: TrainRecipe  # how networks are trained on the finished memory; its rate follows the learned one too
    many: str = ""  # the version that takes this one's place where there are many classes (sizes.py); "": none does

    def __post_init__(self) -> None:
        at_least_one(self, "check_networks", "check_images")
        positive(self, "lr")
        one_of(self, "start", STARTS)
        if not self.stages:
            raise UsageError("recipe: there is no stage", do="Give one [[stages]] or more")
        if self.many and self.many not in RECIPES.versions:
            do = f"Choose from {', '.join(RECIPES.versions)}, or leave it out"
            raise UsageError(f"recipe: many is {printable(self.many)!r}", do=do)
        if not 0 < self.holdout < 1:
            raise UsageError(f"recipe: holdout is {self.holdout}", do="Give a share between 0 and 1")

    @property
    def steps(self) -> int:
        """Outer steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def most_rows(self, classes: int) -> int | None:
        """The least `most_rows` of all stages; None where none has a limit."""
        named = (stage.objective.most_rows(classes) for stage in self.stages)
        return min((rows for rows in named if rows is not None), default=None)

    def unjudged(self) -> Self:
        """This recipe, from all images where it starts from easy ones: where judging them would take too long."""
        return replace(self, start="data") if self.start == "easy" else self

    def followed(self, training: TrainRecipe, lr: float) -> TrainRecipe:
        """`training` with its rate changed by the factor by which the inner rate changed from its start to `lr`."""
        return replace(training, lr=training.lr * lr / self.lr)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; every stage's objective with its `kind`. `many` is newer, and only told where it names one."""
        trained = {"check": self.check.stated(), "retrain": self.retrain.stated()}
        told = {**asdict(self), **trained, "stages": [stage.to_json() for stage in self.stages]}
        return told if self.many else {name: value for name, value in told.items() if name != "many"}

    def changed(self, settings: dict[str, Any]) -> Self:
        """This recipe with the given `settings`, nested as in `to_json`. Unknown keys are errors.

        Where stages are given, they replace all stages. What a stage leaves out is as in this recipe's stage of the
        same number, if that has the same kind of objective; otherwise it is the default. What is changed is not meant
        to be replaced, so no `many` is kept that is not given.
        """
        return _replaced(self, {"many": "", **settings}, "")


class Recipes(Registry[Recipe]):
    """The recipes by name. `best` is its newest version, as its registry line says; `best@1` is version 1.

    `Recipe.name` is the name that was asked for.
    """

    @cached_property
    def versions(self) -> tuple[str, ...]:
        """All versions of memcli's own recipes, such as `best@1`."""
        return tuple(sorted(path.stem for path in _FOLDER.glob("*@*.toml")))

    def version(self, name: str) -> str | None:
        """The version that a name of memcli's own means; None for a plug-in's recipe."""
        return name if name in self.versions else self._own.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self.versions or super().__contains__(name)

    def _load(self, name: str) -> Recipe:
        version = self._own.get(name, name)
        if version not in self.versions:
            return super()._load(name)
        return recipe_from_json({"name": name, **tomlfile.read(_FOLDER / f"{version}.toml", "recipe")})


RECIPES = Recipes(
    "recipe",
    "memcli.recipes",
    {"quick": "quick@3", "best": "best@4", "gpu": "gpu@3", "paper": "paper@1", "many": "many@1"},
    "memcli.distillation.recipe:Recipe",
)


def recipe_from_json(settings: dict[str, Any]) -> Recipe:
    """The recipe of those `settings`, as `Recipe.to_json` gives them; what is left out has its default."""
    plain = Stage(_defaults("unrolled"))
    blank = Recipe("", "data", 0.01, (plain,), TrainRecipe(), 1, 10_000, 0.1, TrainRecipe())
    return blank.changed(settings)


def load_recipe(name: str) -> Recipe:
    """The recipe of that name; for a name that ends in .toml, the recipe that the file is based on, with its changes.

    The file's key `base` names a recipe (default "quick"); every other key is a setting, in tables as in `to_json`.
    """
    if not name.endswith(".toml"):
        if name not in RECIPES:
            do = f"Choose from {_choices(name)}, or name a .toml file"
            raise UsageError(f"unknown recipe {printable(name)!r}", do=do)
        return RECIPES[name]
    settings = tomlfile.read(name, "recipe")
    try:
        base = str(settings.pop("base", "quick"))
        if base not in RECIPES:
            raise UsageError(f"{printable(name)!r} has base {printable(base)!r}", do=f"Choose from {_choices(base)}")
        return RECIPES[base].changed({"name": Path(name).stem, **settings})
    except RecursionError as error:
        raise DataError(f"recipe {printable(name)!r} is nested too deeply", do="Correct it") from error


def _choices(name: str) -> str:
    """The names to choose from in place of `name`: versions, if it is one."""
    return ", ".join(RECIPES.versions if "@" in name else RECIPES)


def _defaults(kind: str) -> ObjectiveSettings:
    """The settings of that kind of objective, all with their defaults."""
    settings = OBJECTIVES.find(kind).settings()
    if settings.kind != kind:
        raise UsageError(
            f"the objective {printable(kind)!r} calls itself {printable(settings.kind)!r}",
            do="Let its settings' `kind` be the name that it is registered under",
        )
    return settings


def _replaced(part: Any, settings: dict[str, Any], path: str) -> Any:
    """`part`, a frozen dataclass, with the given `settings`, recursively; each keeps its type."""
    known = {field.name for field in fields(part)}
    values: dict[str, Any] = {}
    for key, value in {**_unsaid(part, settings), **settings}.items():
        full = f"{path}{key}"
        if key not in known:
            names = ", ".join(sorted(known))
            raise UsageError(f"unknown recipe setting {printable(full)!r}", do=f"Choose from {names}")
        current = getattr(part, key)
        plain = isinstance(current, (str, int, float))
        if key == "stages":
            values[key] = _stages(current, value)
        elif isinstance(value, dict) and not plain:
            values[key] = _replaced(current, {k: v for k, v in value.items() if k != "kind"}, f"{full}.")
        elif isinstance(current, float) and isinstance(value, (int, float)) and not isinstance(value, bool):
            values[key] = float(value)
        elif type(value) is type(current):
            values[key] = value
        else:
            raise UsageError(
                f"recipe setting {printable(full)!r} is {printable(repr(value))}",
                do=f"Give a value like {current!r}" if plain else "Give a table",
            )
    return replace(part, **values)


def _stages(current: tuple[Stage, ...], settings: Any) -> tuple[Stage, ...]:
    """The stages of `settings`, each from the stage of `current` with its number, or from the defaults."""
    if not (isinstance(settings, list | tuple) and all(isinstance(given, dict) for given in settings)):
        raise UsageError("recipe setting 'stages' is no list of tables", do="Write each stage as [[stages]]")
    stages = []
    for number, given in enumerate(settings):
        base = current[number] if number < len(current) else None
        objective = given.get("objective", {})
        kind = objective.get("kind", base.kind if base else "unrolled") if isinstance(objective, dict) else None
        if base is None or (kind is not None and kind != base.kind):
            base = Stage(_defaults(str(kind or "unrolled")))
        stages.append(_replaced(base, given, f"stages.{number}."))
    return tuple(stages)


def _unsaid(part: Any, given: dict[str, Any]) -> dict[str, Any]:
    """What settings say by leaving it out, as they did when there was less to say.

    Images of each class are meant where they are given, whatever the part that is changed has. So is a batch.
    """
    if isinstance(part, TrainRecipe):
        return {"sampled": False} if "batch" in given else {}
    unsaid: dict[str, Any] = {}
    for total, each in part.instead.items() if isinstance(part, ObjectiveSettings) else ():
        if each in given and given.get(total):
            raise UsageError(f"recipe: both {total} and {each} are given", do="Give one of them")
        if each in given or given.get(total):
            other = total if each in given else each
            unsaid[other] = getattr(_defaults(part.kind), other)
    return unsaid
