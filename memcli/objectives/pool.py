"""The inner trainings of an unrolled objective, kept from one outer step to the next."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memcli import seeds
from memcli.engine import OuterGradient, Tensors
from memcli.files.checkpoints import damaged, require_like

_ENDED = (-1, 0, 0)  # the counts of an ended training in a checkpoint: no draw is negative


@dataclass(frozen=True)
class Training:
    """An inner training between two outer steps."""

    weights: Tensors  # packed
    fixed: Tensors  # parameters that are not trained
    draw: int  # the seed of its minibatches
    ahead: int  # steps to its next window
    taken: int = 0  # steps so far
    state: Tensors | None = None  # the optimiser's, once it took a step

    @property
    def tensors(self) -> dict[str, Tensors]:
        return {"weights": self.weights, "fixed": self.fixed, "state": self.state or ()}


class Trainings:
    """The training of each outer step.

    With `places` = 0 every outer step has a fresh training, and a window at a random place in its `steps`. Otherwise
    that many trainings take turns, and go on from window to window while the memory moves. One without room for another
    window has ended, and a fresh one takes its place. The first ones begin at ages spread over the steps.
    """

    def __init__(
        self, steps: int, window: int, places: int, fresh: Callable[[int, int, str], tuple[Tensors, Tensors]]
    ) -> None:
        """`window` = 0: all steps. `fresh(seed, step, purpose)` gives packed weights, and fixed parameters."""
        self._steps, self._window, self._places, self._fresh = steps, window, places, fresh
        self._going: list[Training | None] = []  # None: ended

    def next(self, seed: int, step: int) -> Training:
        """The training whose next window outer step `step` differentiates."""
        steps, window, places = self._steps, self._window, self._places
        if not places:
            share = torch.rand((), generator=seeds.generator(seed, "window", step)).item() if window else 0.0
            return self._begun(seed, step, ahead=int(share * (steps - window + 1)))
        if not self._going:  # at ages spread over T, in whole windows
            ages = [(place * (steps // window) // places) * window for place in range(places)]
            self._going = [self._begun(seed, step, f"pool {place}", age) for place, age in enumerate(ages)]
        place = step % places
        return self._going[place] or self._begun(seed, step, f"pool {place}")

    def after(self, step: int, training: Training, trained: int, result: OuterGradient) -> None:
        """Keep the state of `training` after the `trained` steps of outer step `step`, if it goes on."""
        if not self._places:
            return
        taken = training.taken + trained
        goes_on = taken + self._window <= self._steps and result.loss.isfinite()
        after = replace(training, weights=result.weights, state=result.state, taken=taken, ahead=0)
        self._going[step % self._places] = after if goes_on else None

    def tensors(self) -> dict[str, Tensor]:
        """All of them by name, for a checkpoint."""
        named = {}
        for place, training in enumerate(self._going):
            counts = _ENDED if training is None else (training.draw, training.ahead, training.taken)
            named[f"{place}.counts"] = torch.tensor(counts)
            for name, tensors in [] if training is None else training.tensors.items():
                named |= {f"{place}.{name}.{number}": tensor for number, tensor in enumerate(tensors)}
        return named

    def restore(self, tensors: dict[str, Tensor], device: torch.device, started: Callable[[Tensors], Tensors]) -> None:
        """Continue from what `tensors()` returned; `started(weights)` is the optimiser's state before its first step.

        Raises MemoryFileError where `tensors()` cannot have returned it.
        """
        if not tensors:
            self._going = []
            return
        weights, fixed = self._fresh(0, 0, "inner")
        shapes = {"weights": weights, "fixed": fixed, "state": started(weights)}
        like = {f"{place}.counts": torch.tensor(_ENDED) for place in range(self._places)}
        counts = {name: tensor for name, tensor in tensors.items() if name in like}
        require_like(counts, like)
        for place in range(self._places):
            draw, _, taken = counts[f"{place}.counts"].tolist()
            for name, parts in shapes.items() if draw >= 0 else ():
                if name != "state" or taken:
                    like |= {f"{place}.{name}.{number}": part for number, part in enumerate(parts)}
        require_like(tensors, like)
        self._going = [self._restored(tensors, place, shapes, device) for place in range(self._places)]

    def _restored(
        self, tensors: dict[str, Tensor], place: int, shapes: dict[str, Tensors], device: torch.device
    ) -> Training | None:
        draw, ahead, taken = tensors[f"{place}.counts"].tolist()
        if draw < 0:
            return None
        if not 0 <= ahead <= self._steps or not 0 <= taken <= self._steps - self._window:
            raise damaged("the steps of a training are impossible")
        part = {
            name: tuple(tensors[f"{place}.{name}.{number}"].to(device) for number in range(len(parts)))
            for name, parts in shapes.items()
            if name != "state" or taken
        }
        return Training(part["weights"], part["fixed"], draw, ahead, taken, part.get("state"))

    def _begun(self, seed: int, step: int, purpose: str = "inner", ahead: int = 0) -> Training:
        weights, fixed = self._fresh(seed, step, purpose)
        draw = seeds.derive(seed, "recalled" if purpose == "inner" else purpose, step)
        return Training(weights, fixed, draw, ahead)
