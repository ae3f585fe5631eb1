"""How networks are trained on a finished memory: chosen on the validation part."""

import time
from collections.abc import Callable
from dataclasses import replace

from memcli.data.images import LabelledImages
from memcli.errors import DivergedError, Interrupted
from memcli.memory.memory import Memory
from memcli.networks import build
from memcli.progress import Progress, Silent
from memcli.training.loop import accuracy, recalled_batches, train
from memcli.training.recipe import TrainRecipe


def _augmented(recipe: TrainRecipe, operation: str) -> TrainRecipe:
    return replace(recipe, augment=",".join(dict.fromkeys([operation, *filter(None, recipe.augment.split(","))])))


# The changes that are tried, in this order, each on the best recipe so far (docs/log/ has what each was worth).
_CHANGES: tuple[Callable[[TrainRecipe], TrainRecipe], ...] = (
    lambda best: _augmented(best, "rotate"),
    lambda best: replace(best, steps=2 * best.steps),
    lambda best: _augmented(best, "flip"),
    lambda best: replace(best, mixture=0.0 if best.mixture else 0.5),
    lambda best: replace(best, lr=3 * best.lr, decay=1.0),
    lambda best: replace(best, steps=2 * best.steps),
)


def choose(
    memory: Memory,
    recipe: TrainRecipe,
    validation: LabelledImages,
    seed: int,
    *,
    progress: Progress | None = None,
    ends: float | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> tuple[TrainRecipe, float]:
    """The recipe that is best on validation, found from `recipe` by one change after another; and its accuracy.

    Changes that do not help are taken back: small rotations, more steps, flips, which turn some digits into others,
    mixture queries or none, and a higher rate that decays. `recipe` itself is always tried; a change only where the
    clock (time.monotonic) would not pass `ends`. Raises Interrupted between two where `interrupted()` turns true.
    """
    progress = progress or Silent()
    progress.begin("choosing how to retrain", 1 + len(_CHANGES), "recipes")
    best, reached, per_step = recipe, -1.0, 0.0
    for number, change in enumerate((lambda first: first, *_CHANGES)):
        if interrupted():
            raise Interrupted(
                "stopped while choosing how to retrain", do="Give the same command with `resume` to continue"
            )
        candidate = change(best)
        began = time.monotonic()
        if number and (candidate == best or (ends is not None and began + per_step * candidate.steps > ends)):
            continue
        measured = retrained_accuracy(memory, candidate, validation, seed)
        per_step = (time.monotonic() - began) / candidate.steps
        if measured > reached:
            best, reached = candidate, measured
        progress.update(number + 1, validation=measured, best=reached)
    progress.end()
    return best, reached


def retrained_accuracy(memory: Memory, recipe: TrainRecipe, validation: LabelledImages, seed: int) -> float:
    """Validation accuracy of one fresh network trained on `memory` by `recipe`; 0 where that training diverges."""
    network = build(recipe.network, memory.spec.data, seed=seed).to(memory.bases.device)
    try:
        train(network, recipe, recalled_batches(memory, recipe.batch, seed, recipe.mixture), seed=seed)
    except DivergedError:
        return 0.0
    return accuracy(network, validation, memory.spec.data)
