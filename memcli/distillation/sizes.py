"""What a recipe leaves open to the size of images: how deep networks are, and how much they see of large ones."""

from dataclasses import replace
from typing import Any

from memcli.data.spec import DataSpec
from memcli.distillation.recipe import Recipe, Stage
from memcli.networks import sized

_LARGE, _SEEN = 128, 64  # the side from which stages average images down, and what their networks see at least
_CHECKED = 96  # the same for networks that measure a memory: images of twice this side and more are averaged down
_WIDTHS = ((192, 32), (128, 64))  # of networks that are retrained, by the least side: so a step costs about the same


def fitted(recipe: Recipe, data: DataSpec) -> Recipe:
    """`recipe` with all networks as images of this size need them; below 64x64 that is `recipe` itself.

    Networks get the depth of `sized`. From 128x128 on, those of the stages see images averaged down to 64 pixels or
    more, and retrained ones are narrower; from 192x192 on, those that measure see 96 pixels or more. What a network's
    description says stays.
    """
    least = min(data.height, data.width)
    seen = {"side": _SEEN} if least >= _LARGE else {}
    checked = {"side": _CHECKED} if least >= 2 * _CHECKED else {}
    width = next(({"width": width} for side, width in _WIDTHS if least >= side), {})

    def of_stage(stage: Stage) -> Stage:
        network = sized(stage.objective.network, data, **seen)
        return replace(stage, objective=replace(stage.objective, network=network))

    trained: dict[str, Any] = {
        "check": replace(recipe.check, network=sized(recipe.check.network, data, **checked)),
        "retrain": replace(recipe.retrain, network=sized(recipe.retrain.network, data, **width)),
    }
    return replace(recipe, stages=tuple(map(of_stage, recipe.stages)), **trained)
