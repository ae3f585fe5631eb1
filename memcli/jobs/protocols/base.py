"""What an evaluation protocol is."""

from collections.abc import Callable
from dataclasses import dataclass

from memcli.memory.spec import MemorySpec
from memcli.training.recipe import TrainRecipe


@dataclass(frozen=True)
class Protocol:
    """`recipe(spec, own, network)` says how `network` is trained on a memory of `spec`; `own` is the file's recipe."""

    help: str  # one line
    recipe: Callable[[MemorySpec, TrainRecipe, str], TrainRecipe]
