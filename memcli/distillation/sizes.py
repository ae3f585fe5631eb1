"""Which recipe it is where none is named, and what a recipe leaves open to the data: how deep networks are for the
images' size, and how long they train for the number of classes and of recalled images.
"""

import math
from dataclasses import replace
from typing import Any

from memcli.data.augmentations import augmentations
from memcli.data.spec import DataSpec
from memcli.distillation.recipe import RECIPES, Recipe, Stage
from memcli.memory.spec import MemorySpec
from memcli.networks import sized
from memcli.objectives.base import FAMILIES
from memcli.objectives.ridge import Ridge
from memcli.objectives.unrolled import Unrolled
from memcli.training.recipe import MOST, TrainRecipe

LARGE, SEEN = 128, 64  # the side from which stages average images down, and what their networks see at least
_CHECKED = 96  # the same for networks that measure a memory: images of twice this side and more are averaged down
_WIDTHS = ((192, 32), (128, 64))  # of networks that are retrained, by the least side: so a step costs about the same
USUAL = ("quick", "best")  # recipes that are chosen where none is named
_LONG, _SMALL = 600.0, 28 * 28  # seconds from which on `best` learns more, of images of so many numbers (docs/log/)
_LEAST = 14  # the side that first stages average images down to: of smaller ones, `quick` has as many steps as it wants
_MANY = 100  # classes from which on a recipe's `many` takes its place; measured with 200 (docs/log/)
_COLOURS = 3  # channels of photographs, which look as likely when flipped; characters of many kinds have one
_CLASSES, _OF_CLASS = 10, 100  # those that recipes were chosen for; images of each that trainings see of more
_POOL = 6  # trainings that take turns where they are longer than what is differentiated
_EACH = 2  # images of each class that a regression has at least, since it knows no class that has none
_REAL = 5  # real images of each class in an unrolled step, if those it differentiates are as many: these cost less
_PASSES, _DECAYING = 4, 3.0  # over all recalled images in a retraining, at least; and its rate if it has to be longer
_NUMBERS = 4.0  # images of a class, counted in numbers, up to which memories move at the recipes' rates (docs/log/)
_SHARE = 2  # classes for an image of a minibatch, at most, where a network is trained to the end


def usual(data: DataSpec, seconds: float | None) -> str:
    """The name of the recipe where none is given: `quick`, or `best` if there are many `seconds` to learn in.

    Ten minutes are many for images of 14x14 to 28x28 numbers. Larger ones, and those of several channels, take as many
    times more as they have more numbers. It is `quick` at any length for smaller images, and from 100 classes on, since
    it names another recipe for these.
    """
    long = _LONG * max(1.0, data.floats_per_image / _SMALL)
    small, many = min(data.height, data.width) < _LEAST, len(data.classes) >= _MANY
    return "quick" if seconds is None or seconds < long or small or many else "best"


def fitted(recipe: Recipe, data: DataSpec) -> Recipe:
    """`recipe` as images of this size and so many classes need it; below 64x64 and up to ten classes, `recipe` itself.

    From 100 classes on, the recipe that it names as its `many` takes its place, under its name; that one flips no
    images without colours.

    Networks get the depth of `sized`. From 128x128 on, those of the stages see images averaged down to 64 pixels or
    more, and retrained ones are narrower; from 192x192 on, those that measure see 96 pixels or more. What a network's
    description says stays.

    With more than ten classes, a training that samples classes sees 100 images of each, or more if the recipe says so.
    Unrolled stages then differentiate a window of each training, from a pool, so that a step costs what it did, and
    have five real images of each class, but no more of them than are differentiated. Networks that measure, or are
    retrained, also have an image for two classes in a minibatch, and a regression two images for a class. All networks
    are trained at rates that grow with the root of the number of classes, and the rate at which the memory moves falls
    with it.
    """
    if recipe.many and len(data.classes) >= _MANY:
        recipe = _of_many(replace(RECIPES[recipe.many], name=recipe.name), data)
    least = min(data.height, data.width)
    seen = {"side": SEEN} if least >= LARGE else {}
    checked = {"side": _CHECKED} if least >= 2 * _CHECKED else {}
    width = next(({"width": width} for side, width in _WIDTHS if least >= side), {})

    classes = len(data.classes)

    def of_stage(stage: Stage) -> Stage:
        network = f" {FAMILIES} ".join(sized(turn.network, data, **seen) for turn in stage.objective.turns)
        return _for_classes(replace(stage, objective=replace(stage.objective, network=network)), classes)

    trained: dict[str, Any] = {
        "check": replace(recipe.check, network=sized(recipe.check.network, data, **checked)),
        "retrain": replace(recipe.retrain, network=sized(recipe.retrain.network, data, **width)),
    }
    trained = {name: _with_more(training, classes) for name, training in trained.items()}
    if all(training.sampled for training in (recipe.check, recipe.retrain)):
        trained["lr"] = recipe.lr * _faster(classes)
    return replace(recipe, stages=tuple(map(of_stage, recipe.stages)), **trained)


def suited(recipe: Recipe, spec: MemorySpec) -> Recipe:
    """`recipe` as a memory of so many numbers, which recalls so many images, needs it.

    A retrained network sees each recalled image four times or more. Sparse addresses recall so many that a training
    which was chosen for fewer would see each once or not at all. A longer one is trained at a higher rate, which falls
    by a cosine, if its rate does not fall from its first step on anyway. One that is not `sampled` is left as it is.

    Where there are more numbers than four images of each class have, Muon moves the memory by less: its steps are as
    large whatever the gradient is, and of more numbers each is known worse.
    """
    return _slower(_covering(recipe, spec), spec)


def _covering(recipe: Recipe, spec: MemorySpec) -> Recipe:
    retrain, classes = recipe.retrain, len(spec.data.classes)
    steps = math.ceil(_PASSES * spec.rows * classes / retrain.images(classes))
    if steps <= retrain.steps or not retrain.sampled:
        return recipe
    rate = retrain.lr if retrain.decay == 1 else _DECAYING * retrain.lr
    return replace(recipe, retrain=replace(retrain, steps=min(steps, int(MOST["steps"])), lr=rate, decay=1.0))


def _slower(recipe: Recipe, spec: MemorySpec) -> Recipe:
    share = min(1.0, math.sqrt(_NUMBERS / spec.ipc))

    def of_stage(stage: Stage) -> Stage:
        outer = stage.outer
        return replace(stage, outer=replace(outer, lr=share * outer.lr)) if outer.optimiser == "muon" else stage

    return recipe if share == 1 else replace(recipe, stages=tuple(map(of_stage, recipe.stages)))


def _of_many(recipe: Recipe, data: DataSpec) -> Recipe:
    """`recipe`, without flips where images have no colours."""
    if data.channels == _COLOURS:
        return recipe

    def unflipped(part: Any) -> Any:
        left = (name for name in augmentations(part.augment) if name != "flip")
        return replace(part, augment=",".join(left))

    stages = tuple(replace(stage, objective=unflipped(stage.objective)) for stage in recipe.stages)
    return replace(recipe, stages=stages, check=unflipped(recipe.check), retrain=unflipped(recipe.retrain))


def _for_classes(stage: Stage, classes: int) -> Stage:
    objective = stage.objective
    if classes <= _CLASSES or not isinstance(objective, Ridge | Unrolled) or not objective.images:
        return stage
    outer = replace(stage.outer, lr=stage.outer.lr / _faster(classes))
    fitting = _regression(objective, classes) if isinstance(objective, Ridge) else _longer(objective, classes)
    return replace(stage, objective=fitting, outer=outer)


def _regression(objective: Ridge, classes: int) -> Ridge:
    real = objective.real_images and max(objective.real_images, _EACH * classes)
    return replace(objective, images=max(objective.images, _EACH * classes), real_images=real)


def _longer(objective: Unrolled, classes: int) -> Unrolled:
    differentiated = objective.window or objective.steps
    real = objective.real_images and max(objective.real_images, min(_REAL * classes, differentiated * objective.images))
    steps = max(objective.steps, math.ceil(_OF_CLASS * classes / objective.images))
    if steps > objective.steps:
        objective = replace(objective, steps=steps, window=differentiated, pool=objective.pool or _POOL)
    return replace(objective, real_images=real)


def _with_more(training: TrainRecipe, classes: int) -> TrainRecipe:
    if classes <= _CLASSES or not training.sampled:
        return training
    batch = max(training.batch, classes // _SHARE)
    images = max(training.steps * training.batch, _OF_CLASS * classes)
    return replace(training, batch=batch, steps=math.ceil(images / batch), lr=training.lr * _faster(classes))


def _faster(classes: int) -> float:
    """What rates are multiplied by. Of each class, a minibatch has fewer images by the square of this."""
    return math.sqrt(max(1.0, classes / _CLASSES))
