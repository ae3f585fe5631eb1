"""How networks are trained on a finished memory: chosen on the validation part."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from memcli.data.images import LabelledImages
from memcli.errors import DivergedError
from memcli.memory.memory import Memory
from memcli.networks import build
from memcli.progress import Progress, Silent
from memcli.training.loop import accuracy, recalled_batches, train
from memcli.training.recipe import TrainRecipe


def _augmented(recipe: TrainRecipe, operation: str) -> TrainRecipe:
    return replace(recipe, augment=",".join(dict.fromkeys([operation, *filter(None, recipe.augment.split(","))])))


_MORE = "more steps"
# The changes that are tried, in this order, each on the best recipe so far (docs/log/ has what each was worth).
_CHANGES: tuple[tuple[str, Callable[[TrainRecipe], TrainRecipe]], ...] = (
    ("rotations", lambda best: _augmented(best, "rotate")),
    (_MORE, lambda best: replace(best, steps=2 * best.steps)),
    ("flips", lambda best: _augmented(best, "flip")),
    ("mixtures, or none", lambda best: replace(best, mixture=0.0 if best.mixture else 0.5)),
    ("a higher rate that decays", lambda best: replace(best, lr=3 * best.lr, decay=1.0)),
    (_MORE, lambda best: replace(best, steps=2 * best.steps)),
)
_STEPS_TRIED = 12  # steps of all of them for one step of the first: from 9, where more are no help, to 14
_PROBED, _TESTED = 3, 250  # steps, and validation images, that a pace is measured on
_PROBING_RATE = 1e-6  # at most


def _changes(recipe: TrainRecipe) -> tuple[tuple[str, Callable[[TrainRecipe], TrainRecipe]], ...]:
    """What is tried on `recipe`: a training whose rate falls from its first step on is a whole one, without more."""
    return tuple(each for each in _CHANGES if recipe.decay < 1 or each[0] != _MORE)


@dataclass(frozen=True)
class Pace:
    """How long networks take, in seconds: a step of training, and the test on the validation part."""

    step: float
    test: float

    def seconds(self, steps: int) -> float:
        """Of one training of so many steps with its test."""
        return self.step * steps + self.test

    def whole_choice(self, recipe: TrainRecipe) -> float:
        """About what `choose` takes from `recipe`, where time does not end it."""
        tried = 1 + len(_changes(recipe))
        steps = (_STEPS_TRIED if recipe.decay < 1 else tried) * recipe.steps
        return self.step * steps + tried * self.test


def pace(memory: Memory, recipe: TrainRecipe, validation: LabelledImages) -> Pace:
    """The pace of `recipe`, measured in a few steps and on some images."""
    some = validation.subset(torch.arange(len(validation))[:_TESTED])
    network, step = _probed(memory, recipe)
    began = time.monotonic()
    accuracy(network, some, memory.spec.data)
    return Pace(step, (time.monotonic() - began) * len(validation) / len(some))


def _probed(memory: Memory, recipe: TrainRecipe) -> tuple[nn.Module, float]:
    """A network after a few steps of `recipe`, too small to diverge, and the seconds that each took."""
    recipe = replace(recipe, lr=min(recipe.lr, _PROBING_RATE))
    network = build(recipe.network, memory.spec.data, seed=0).to(memory.bases.device)
    batches = recalled_batches(memory, recipe.images(len(memory.spec.data.classes)), 0, recipe.mixture)
    train(network, replace(recipe, steps=1), batches)  # the first step also loads and chooses kernels
    began = time.monotonic()
    train(network, replace(recipe, steps=_PROBED), batches)
    return network, (time.monotonic() - began) / _PROBED


def choose(
    memory: Memory,
    recipe: TrainRecipe,
    validation: LabelledImages,
    seed: int,
    *,
    progress: Progress | None = None,
    ends: float | None = None,
    test_seconds: float = 0.0,
) -> tuple[TrainRecipe, float]:
    """The recipe that is best on validation, found from `recipe` by one change after another; and its accuracy.

    Changes that do not help are taken back: small rotations, more steps (unless the rate of `recipe` falls from its
    first one on), flips, which turn some digits into others, mixture queries or none, and a higher rate that decays.
    `recipe` itself is always tried; a change only where the clock (time.monotonic) would not pass `ends`, of which the
    test on the validation part takes `test_seconds`. What a step of it takes is measured anew where it augments or
    mixes otherwise.
    """
    progress = progress or Silent()
    start, changes = time.monotonic(), _changes(recipe)
    limit = 0.0 if ends is None else max(ends - start, 0.0)  # seconds for all of it; 0: none, or none left
    progress.begin("choosing how to retrain", *((limit, "s") if limit else (1 + len(changes), "recipes")))
    best, reached, per_step, paced = recipe, -1.0, 0.0, _images_of(recipe)
    for number, (what, change) in enumerate((("as the recipe says", lambda first: first), *changes)):
        candidate = change(best)
        if number and candidate == best:
            continue
        if ends is not None:
            if _images_of(candidate) != paced and time.monotonic() + test_seconds < ends:
                per_step, paced = _probed(memory, candidate)[1], _images_of(candidate)
            if number and time.monotonic() + per_step * candidate.steps + test_seconds > ends:
                continue
        began = time.monotonic()
        progress.busy(f"trying {what}" if number else what)
        measured = retrained_accuracy(memory, candidate, validation, seed)
        per_step = max(time.monotonic() - began - test_seconds, 0.0) / candidate.steps
        if measured > reached:
            best, reached = candidate, measured
        done = min(time.monotonic() - start, limit) if limit else number + 1
        progress.update(done, retrained=measured, best_retrained=reached)
    progress.busy("")
    progress.end()
    return best, reached


def _images_of(recipe: TrainRecipe) -> tuple[str, float]:
    """What changes the images of a step, and so how long it takes."""
    return recipe.augment, recipe.mixture


def retrained_accuracy(memory: Memory, recipe: TrainRecipe, validation: LabelledImages, seed: int) -> float:
    """Validation accuracy of one fresh network trained on `memory` by `recipe`; 0 where that training diverges."""
    network = build(recipe.network, memory.spec.data, seed=seed).to(memory.bases.device)
    images = recipe.images(len(memory.spec.data.classes))
    try:
        train(network, recipe, recalled_batches(memory, images, seed, recipe.mixture), seed=seed)
    except DivergedError:
        return 0.0
    return accuracy(network, validation, memory.spec.data)
