"""What an evaluation protocol is."""

from collections.abc import Callable
from dataclasses import dataclass

from memcli.memory.spec import MemorySpec
from memcli.training.recipe import TrainRecipe


@dataclass(frozen=True)
class Protocol:
    """`recipe(spec, own, network)` says how `network` is trained on a memory of `spec`; `own` is the file's recipe.

    So are networks on real images, for `epochs` epochs of the images that a baseline chose, or, where that is None, for
    as many steps as on the memory.
    """

    help: str  # one line
    recipe: Callable[[MemorySpec, TrainRecipe, str], TrainRecipe]
    epochs: int | None = None
