"""Recipes: how a memory is distilled, resolved to plain numbers, and stored in every memory file. No torch."""

import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from memcli.checks import at_least_one, below_one, one_of, positive
from memcli.errors import DataError, UsageError
from memcli.objectives.ridge import Ridge
from memcli.objectives.unrolled import Unrolled
from memcli.text import printable
from memcli.training.recipe import TrainRecipe

STARTS = ("data", "noise")
OPTIMISERS = ("adam", "muon", "sgd")


@dataclass(frozen=True)
class Outer:
    """The optimiser that moves the memory."""

    optimiser: str = "adam"  # or "muon", for bases and addresses, with Adam for the rest; or "sgd"
    lr: float = 0.02
    momentum: float = 0.9  # of sgd and muon; Adam's first beta
    clip: float = 2.0  # largest norm of the gradient over all parts of the memory together
    decay: float = 0.0  # the share of the stage, at its end, over which the rate falls to a tenth; 0: constant
    average: float = 0.98  # decay of the moving average of the memory that is measured and kept; 0: the last itself

    def __post_init__(self) -> None:
        positive(self, "lr", "clip")
        below_one(self, "momentum", "decay", "average")
        one_of(self, "optimiser", OPTIMISERS)


@dataclass(frozen=True)
class Stage:
    """A part of a distillation: one objective, followed by one optimiser, until the stage's time or use is over."""

    objective: Unrolled | Ridge
    outer: Outer = Outer()
    steps: int = 300  # outer steps, at most
    share: float = 1.0  # of a time budget, in proportion to the other stages'
    check_every: int = 25  # outer steps between two looks at the validation part
    patience: int = 0  # looks without a better memory after which the stage ends; 0: it never ends early

    def __post_init__(self) -> None:
        at_least_one(self, "steps", "check_every")
        positive(self, "share")
        if self.patience < 0:
            raise UsageError(f"recipe: patience is {self.patience}", do="Give 0 or more")

    @property
    def kind(self) -> str:
        """The name of the objective: a key of OBJECTIVES."""
        return next(name for name, settings in OBJECTIVES.items() if isinstance(self.objective, settings))


@dataclass(frozen=True)
class Recipe:
    """One way to distil, from the start to the recipe that networks will be trained with."""

    name: str
    start: str  # "data": an SVD of down-scaled real images; "noise"
    lr: float  # the inner rate to start from; stages may learn it
    stages: tuple[Stage, ...]  # one after the other, each from the best memory of those before
    check: (
        TrainRecipe  # how the networks of a look at the validation part are trained; its rate follows the learned one
    )
    check_networks: int  # fresh networks trained for each look
    check_images: int  # of the validation part that they are tested on, at most
    holdout: float  # share of the training part that is kept for validation
    retrain: TrainRecipe  # how networks are trained on the finished memory; its rate follows the learned one too

    def __post_init__(self) -> None:
        at_least_one(self, "check_networks", "check_images")
        positive(self, "lr")
        one_of(self, "start", STARTS)
        if not self.stages:
            raise UsageError("recipe: there is no stage", do="Give one [[stages]] or more")
        if not 0 < self.holdout < 1:
            raise UsageError(f"recipe: holdout is {self.holdout}", do="Give a share between 0 and 1")

    @property
    def steps(self) -> int:
        """Outer steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    @property
    def most_rows(self) -> int | None:
        """The least of the stages that train networks through; None where none does."""
        return min((s.objective.most_rows for s in self.stages if isinstance(s.objective, Unrolled)), default=None)

    def followed(self, training: TrainRecipe, lr: float) -> TrainRecipe:
        """`training` with its rate moved as the inner rate has: from where it started to `lr`."""
        return replace(training, lr=training.lr * lr / self.lr)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; every stage's objective with its `kind`."""
        plain = asdict(self)
        for stage, told in zip(self.stages, plain["stages"], strict=True):
            told["objective"]["kind"] = stage.kind
        plain["stages"] = list(plain["stages"])
        return plain

    def changed(self, settings: dict[str, Any]) -> Self:
        """This recipe with some settings replaced; `settings` is nested as `to_json` is. Unknown keys are errors.

        Where stages are given, they are the recipe's stages. Each keeps what it does not say from this recipe's stage
        of the same number, if that has the same kind of objective; otherwise from the defaults.
        """
        return _replaced(self, settings, "")


OBJECTIVES: dict[str, type[Unrolled | Ridge]] = {"unrolled": Unrolled, "ridge": Ridge}


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
    found = []
    for number, given in enumerate(settings):
        base = current[number] if number < len(current) else None
        objective = given.get("objective", {})
        kind = objective.get("kind", base.kind if base else "unrolled") if isinstance(objective, dict) else None
        if kind is not None and kind not in OBJECTIVES:
            raise UsageError(
                f"recipe: there is no objective {printable(str(kind))!r}", do=f"Choose from {', '.join(OBJECTIVES)}"
            )
        if base is None or (kind is not None and kind != base.kind):
            base = Stage(OBJECTIVES[kind or "unrolled"]())
        found.append(_replaced(base, given, f"stages.{number}."))
    return tuple(found)


_SMALL = "convnet:width=32,depth=2,side=14"  # the literature's without its first block, on images of half the size
_MUON = Outer("muon", lr=0.03)
_POOLED = Unrolled("convnet", steps=240, per_class=5, real_per_class=100, window=60, pool=6)
_NORMALISED = Outer("muon", lr=0.015, clip=0.001)  # so that every step's gradient counts alike (docs/log/)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        # Made for a CPU and minutes; the experiments behind each number are in docs/log/.
        Recipe(
            name="quick",
            start="data",
            lr=0.02,
            stages=(
                Stage(Ridge(_SMALL), _MUON, steps=100, share=1.0, check_every=20, patience=3),
                Stage(Unrolled(_SMALL, per_class=5), _MUON, steps=200, share=3.0, check_every=50, patience=10),
                Stage(Unrolled(), replace(_MUON, decay=0.8), steps=100, share=4.0),
            ),
            check=TrainRecipe("convnet:width=32", steps=20, batch=20, lr=0.02, momentum=0.9),  # as in the last stage
            check_networks=2,
            check_images=2_000,
            holdout=0.1,
            retrain=TrainRecipe("convnet", steps=80, batch=20, lr=0.006, momentum=0.9),
        ),
        # For ten minutes and more: what `gpu` does, on narrower networks.
        Recipe(
            name="best",
            start="data",
            lr=0.01,
            stages=(
                Stage(
                    replace(_POOLED, network=_SMALL, real_per_class=50),
                    replace(_NORMALISED, lr=0.02),
                    steps=300,
                    share=1.0,
                    check_every=40,
                    patience=4,
                ),
                Stage(
                    replace(_POOLED, network="convnet:width=32", real_per_class=50),
                    replace(_NORMALISED, decay=0.8, average=0.99),
                    steps=800,
                    share=2.0,
                    check_every=40,
                ),
            ),
            check=TrainRecipe("convnet:width=32", steps=150, batch=50, lr=0.008, momentum=0.9),
            check_networks=1,
            check_images=10_000,
            holdout=0.1,
            retrain=TrainRecipe("convnet", steps=150, batch=50, lr=0.005, momentum=0.9),
        ),
        # For ten minutes of a GPU: networks as they will be used, more images a step, windows of long trainings.
        Recipe(
            name="gpu",
            start="data",
            lr=0.01,
            stages=(
                Stage(
                    replace(_POOLED, network="convnet:depth=2,side=14", per_class=10),
                    replace(_NORMALISED, lr=0.02),
                    steps=600,
                    share=1.0,
                    check_every=200,
                ),
                Stage(_POOLED, replace(_NORMALISED, decay=0.8, average=0.99), steps=3_200, share=5.0, check_every=150),
            ),
            check=TrainRecipe("convnet", steps=200, batch=50, lr=0.01, momentum=0.9),
            check_networks=1,
            check_images=10_000,
            holdout=0.1,
            retrain=TrainRecipe("convnet", steps=200, batch=50, lr=0.01, momentum=0.9),
        ),
        # [RTP] as published, from the released configuration: T = 150, K = 16 at half size for CIFAR-10 at ipc 1.
        Recipe(
            name="paper",
            start="noise",
            lr=0.01,
            stages=(
                Stage(
                    Unrolled("convnet", steps=150, per_class=32, learn_lr=False, momentum=0.9, real_per_class=64),
                    Outer("sgd", lr=0.1, momentum=0.5, clip=2.0, decay=0.0, average=0.0),
                    steps=20_000,
                    check_every=200,
                ),
            ),
            check=TrainRecipe("convnet", steps=150, batch=320, lr=0.01, momentum=0.9),
            check_networks=1,
            check_images=2_000,
            holdout=0.1,
            retrain=TrainRecipe("convnet", steps=600, batch=640, lr=0.01, momentum=0.9),
        ),
    )
}
