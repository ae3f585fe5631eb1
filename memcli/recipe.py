"""Recipes: how a memory is distilled, resolved to plain numbers, and stored in every memory file. No torch."""

import math
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from memcli.errors import DataError, UsageError
from memcli.spec import TrainRecipe
from memcli.text import printable


@dataclass(frozen=True)
class Unrolled:
    """Settings of the unrolled objective: train a fresh network on recalled images, and test it on real ones."""

    network: str  # trained in the inner loop
    steps: int  # T
    per_class: int  # recalled images of each class in a minibatch
    lr: float  # inner SGD rate, to start from
    learn_lr: bool  # whether the rate is learned with the memory
    momentum: float  # inner SGD momentum
    real_per_class: int  # real images of each class in the outer loss

    @property
    def most_rows(self) -> int:
        """The rows of a class that one inner training sees twice: more would hardly be learned (docs/log.md)."""
        return max(1, self.steps * self.per_class // 2)


@dataclass(frozen=True)
class Outer:
    """The optimiser that moves the memory."""

    optimiser: str  # "adam" or "sgd"
    lr: float
    momentum: float  # of sgd; Adam's first beta
    clip: float  # largest norm of the gradient over bases and addresses together
    decay: float  # the share of the run, at its end, over which the rate falls to a tenth by a cosine; 0: constant
    average: float  # decay of the moving average of the memory that is measured and kept; 0: the last memory itself


@dataclass(frozen=True)
class Recipe:
    """One way to distil, from the start to the recipe that networks will be trained with."""

    name: str
    start: str  # "data": an SVD of down-scaled real images; "noise"
    objective: Unrolled
    outer: Outer
    steps: int  # outer steps
    check_every: int  # outer steps between two looks at the validation part
    check_networks: int  # fresh networks trained for each look
    holdout: float  # share of the training part that is kept for validation
    retrain: TrainRecipe  # how networks are trained on the finished memory; its rate follows the learned one

    def __post_init__(self) -> None:
        objective, outer = self.objective, self.outer
        for what, value in (
            ("steps", self.steps),
            ("check_every", self.check_every),
            ("check_networks", self.check_networks),
            ("objective.steps", objective.steps),
            ("objective.per_class", objective.per_class),
            ("objective.real_per_class", objective.real_per_class),
        ):
            if value < 1:
                raise UsageError(f"recipe: {what} is {value}", do="Give 1 or more")
        for what, number in (("objective.lr", objective.lr), ("outer.lr", outer.lr), ("outer.clip", outer.clip)):
            if not (math.isfinite(number) and number > 0):
                raise UsageError(f"recipe: {what} is {number}", do="Give a positive number")
        for what, number in (
            ("objective.momentum", objective.momentum),
            ("outer.momentum", outer.momentum),
            ("outer.decay", outer.decay),
            ("outer.average", outer.average),
        ):
            if not 0 <= number < 1:
                raise UsageError(f"recipe: {what} is {number}", do="Give a number in [0, 1)")
        if not 0 < self.holdout < 1:
            raise UsageError(f"recipe: holdout is {self.holdout}", do="Give a share between 0 and 1")
        for what, choice, choices in (("start", self.start, STARTS), ("outer.optimiser", outer.optimiser, OPTIMISERS)):
            if choice not in choices:
                raise UsageError(f"recipe: {what} is {printable(choice)!r}", do=f"Choose from {', '.join(choices)}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def changed(self, settings: dict[str, Any]) -> Self:
        """This recipe with some settings replaced; `settings` is nested as `to_json` is. Unknown keys are errors."""
        return _replaced(self, settings, "")


STARTS = ("data", "noise")
OPTIMISERS = ("adam", "sgd")

RECIPES = {
    recipe.name: recipe
    for recipe in (
        # Made for a CPU and minutes; the experiments behind each number are in docs/log.md.
        Recipe(
            name="quick",
            start="data",
            objective=Unrolled(
                "convnet:width=32", steps=20, per_class=2, lr=0.02, learn_lr=True, momentum=0.9, real_per_class=20
            ),
            outer=Outer("adam", lr=0.02, momentum=0.9, clip=2.0, decay=0.5, average=0.98),
            steps=300,
            check_every=25,
            check_networks=2,
            holdout=0.1,
            retrain=TrainRecipe("convnet", steps=80, batch=20, lr=0.006, momentum=0.9),
        ),
        # [RTP] as published, from the released configuration: T = 150, K = 16 at half size for CIFAR-10 at ipc 1.
        Recipe(
            name="paper",
            start="noise",
            objective=Unrolled(
                "convnet", steps=150, per_class=32, lr=0.01, learn_lr=False, momentum=0.9, real_per_class=64
            ),
            outer=Outer("sgd", lr=0.1, momentum=0.5, clip=2.0, decay=0.0, average=0.0),
            steps=20_000,
            check_every=200,
            check_networks=1,
            holdout=0.1,
            retrain=TrainRecipe("convnet", steps=600, batch=640, lr=0.01, momentum=0.9),
        ),
    )
}


def load_recipe(name: str) -> Recipe:
    """The recipe of that name; or, for a name that ends in .toml, the file's changes to the recipe it is based on.

    The file's key `base` names a recipe (default "quick"); every other key is a setting, in tables as in `to_json`.
    """
    if not name.endswith(".toml"):
        if name not in RECIPES:
            known = ", ".join(RECIPES)
            raise UsageError(f"unknown recipe {printable(name)!r}", do=f"Choose from {known}, or name a .toml file")
        return RECIPES[name]
    try:
        settings = tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"cannot read recipe {printable(name)!r}: {printable(str(error))}", do="Correct it") from error
    base = settings.pop("base", "quick")
    if base not in RECIPES:
        raise UsageError(
            f"{printable(name)!r} has base {printable(str(base))!r}", do=f"Choose from {', '.join(RECIPES)}"
        )
    return RECIPES[base].changed({"name": Path(name).stem, **settings})


def _replaced(part: Any, settings: dict[str, Any], path: str) -> Any:
    """`part`, a frozen dataclass, with `settings` replaced, recursively and type for type."""
    known = {field.name for field in fields(part)}
    values: dict[str, Any] = {}
    for key, value in settings.items():
        full = f"{path}{key}"
        if key not in known:
            names = ", ".join(sorted(known))
            raise UsageError(f"unknown recipe setting {printable(full)!r}", do=f"Choose from {names}")
        current = getattr(part, key)
        if isinstance(value, dict) and not isinstance(current, (str, int, float)):
            values[key] = _replaced(current, value, f"{full}.")
        elif isinstance(current, float) and isinstance(value, (int, float)) and not isinstance(value, bool):
            values[key] = float(value)
        elif type(value) is type(current):
            values[key] = value
        else:
            raise UsageError(
                f"recipe setting {printable(full)!r} is {printable(repr(value))}",
                do=f"Give a value like {current!r}" if isinstance(current, (str, int, float)) else "Give a table",
            )
    return replace(part, **values)
