"""How a run divides its time: among tuning, the stages of a recipe, and the choice of how to retrain."""

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Self

from memcli.distillation.outer import Counters
from memcli.distillation.recipe import Recipe
from memcli.training.choose import Pace
from memcli.training.recipe import TrainRecipe

CHOICE_SHARE = 0.1  # of a time budget, for the choice of how to retrain, at most: one retraining is always made
CLOSING = 1.0  # seconds that a run needs after that: the preview, the file, the end of the process
RETRAINING_SHARE = 0.25  # of a time budget, for one retraining, where fewer steps are a whole training too
_NOISE = 1.2  # other work on the machine may slow what was measured
JUDGING_SHARE = 0.1  # of a time budget, for telling which images are easy, at most
TUNING_SHARE = 0.25  # of a time budget, or of the outer steps, for the choice of a memory's size


@dataclass(frozen=True)
class Schedule:
    """The ends of the stages; None where that is no limit. What a stage leaves goes to those after it."""

    steps: tuple[int, ...] | None  # at the end of each stage
    seconds: float | None  # at the end of the last stage, counted from the start of the run
    shares: tuple[float, ...]  # of the time, in proportion to one another

    @classmethod
    def of(cls, recipe: Recipe, steps: int | None, seconds: float | None) -> Self:
        """`steps` outer steps and `seconds`, divided as the recipe says; with neither, the recipe's own steps."""
        if steps is None and seconds is None:
            steps = recipe.steps
        by_step = accumulate(stage.steps / recipe.steps for stage in recipe.stages)
        ends = None if steps is None else tuple(round(steps * end) for end in by_step)
        return cls(ends, seconds, tuple(stage.share for stage in recipe.stages))

    def finished(self, at: Counters, ahead: float = 0.0) -> float:
        """The share of the present stage that is over, 1 or more at its end.

        `ahead`: the seconds of another step and look, which must still fit into the last stage.
        """
        share = 0.0
        if self.steps is not None:
            share = _share(at.step - at.entered, self.steps[at.stage] - at.entered)
        if self.seconds is not None:
            left = self.shares[at.stage :]
            length = (self.seconds - at.entered_at) * left[0] / sum(left)
            done = at.elapsed - at.entered_at + (ahead if len(left) == 1 else 0.0)
            share = max(share, _share(done, length))
        return share


def reserved(pace: Pace, recipe: Recipe, seconds: float) -> float:
    """What of a time budget is kept for the choice of how to retrain: all of it, where that is no large share."""
    training = affordable(recipe.retrain, pace, seconds)
    return max(_NOISE * pace.seconds(training.steps), min(pace.whole_choice(training), CHOICE_SHARE * seconds))


def affordable(training: TrainRecipe, pace: Pace, seconds: float) -> TrainRecipe:
    """`training` with as many steps as RETRAINING_SHARE of a time budget has room for at that pace, and at least 1.

    One whose rate does not fall from its first step on is left as it is: less of it would be another training.
    """
    if training.decay < 1 or pace.seconds(training.steps) <= RETRAINING_SHARE * seconds:
        return training
    return replace(training, steps=max(1, int((RETRAINING_SHARE * seconds - pace.test) / pace.step)))


def _share(done: float, length: float) -> float:
    return done / length if length > 0 else 1.0
