"""How networks are trained on a finished memory: chosen on the validation part."""

import time
from dataclasses import replace

from memcli.errors import DivergedError
from memcli.memory import Memory
from memcli.networks import build
from memcli.progress import Progress, Silent
from memcli.sources.base import LabelledImages
from memcli.spec import TrainRecipe
from memcli.training import accuracy, recalled_batches, train

_LENGTHS = (1, 2, 4)  # multiples of the recipe's steps among which validation chooses


def choose(
    memory: Memory,
    recipe: TrainRecipe,
    validation: LabelledImages,
    seed: int,
    *,
    progress: Progress | None = None,
    ends: float | None = None,
) -> tuple[TrainRecipe, float]:
    """The length of retraining that is best on validation, of a few multiples of the recipe's; and its accuracy.

    The shortest is always tried; others only where the clock (time.monotonic) would not pass `ends`.
    """
    progress = progress or Silent()
    progress.begin("choosing how long to retrain", len(_LENGTHS), "lengths")
    tried: list[tuple[float, TrainRecipe]] = []
    per_step = 0.0
    for number, length in enumerate(_LENGTHS):
        candidate = replace(recipe, steps=recipe.steps * length)
        began = time.monotonic()
        if tried and ends is not None and began + per_step * candidate.steps > ends:
            break
        tried.append((retrained_accuracy(memory, candidate, validation, seed), candidate))
        per_step = (time.monotonic() - began) / candidate.steps
        progress.update(number + 1, validation=tried[-1][0])
    progress.end()
    reached, chosen = max(tried, key=lambda pair: pair[0])
    return chosen, reached


def retrained_accuracy(memory: Memory, recipe: TrainRecipe, validation: LabelledImages, seed: int) -> float:
    """Validation accuracy of one fresh network trained on `memory` by `recipe`; 0 where that training diverges."""
    network = build(recipe.network, memory.spec.data, seed=seed).to(memory.bases.device)
    try:
        train(network, recipe, recalled_batches(memory, recipe.batch, seed, recipe.mixture), seed=seed)
    except DivergedError:
        return 0.0
    return accuracy(network, validation, memory.spec.data)
