"""How a run divides its time: among tuning, the stages of a recipe, and the choice of how to retrain."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Self

from memcli.distillation.recipe import Recipe

TUNING_SHARE = 0.25  # of a time budget, or of the outer steps, for the choice of a memory's size
LEARNING_SHARE = 0.9  # of the remaining time, for the stages; the rest is for choosing how networks are retrained


@dataclass(frozen=True)
class Schedule:
    """The ends of the stages, counted from the start of the run; None where that is no limit.

    A stage that ends early leaves the rest of its time to the next one.
    """

    steps: tuple[int, ...] | None
    seconds: tuple[float, ...] | None

    @classmethod
    def of(cls, recipe: Recipe, steps: int | None, seconds: float | None) -> Self:
        """`steps` outer steps and `seconds`, divided as the recipe says; with neither, the recipe's own steps."""
        if steps is None and seconds is None:
            steps = recipe.steps
        by_step = accumulate(stage.steps / recipe.steps for stage in recipe.stages)
        shares = sum(stage.share for stage in recipe.stages)
        by_time = accumulate(stage.share / shares for stage in recipe.stages)
        return cls(
            None if steps is None else tuple(round(steps * end) for end in by_step),
            None if seconds is None else tuple(seconds * end for end in by_time),
        )

    def finished(self, stage: int, step: int, elapsed: float, entered: int, entered_at: float) -> float:
        """The share of a stage that is over, 1 or more at its end; it began at step `entered`, second `entered_at`."""
        share = 0.0
        if self.steps is not None:
            share = _share(step - entered, self.steps[stage] - entered)
        if self.seconds is not None:
            share = max(share, _share(elapsed - entered_at, self.seconds[stage] - entered_at))
        return share


def _share(done: float, length: float) -> float:
    return done / length if length > 0 else 1.0
