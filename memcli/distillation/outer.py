"""The state of the outer loop: the point that moves, its optimiser, its average, and the best point so far."""

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from memcli.distillation.optimisers import OUTER_OPTIMISERS, Movers
from memcli.distillation.recipe import Outer
from memcli.errors import DivergedError
from memcli.files.checkpoints import damaged, require_like
from memcli.memory.memory import Memory
from memcli.memory.storage import CELLS, SUPPORT
from memcli.memory.support import is_support
from memcli.objectives import Outcome

# What no run has more of, in a checkpoint.
_MOST_STEPS, _MOST_SECONDS, _MOST_LOG_LR, _MOST_NUMBER = 10**12, 1e9, 80.0, 1e300
_RETREATS = 4  # returns to the best point, each at half the rate, before a run is given up


@dataclass(frozen=True, eq=False)
class Point:
    """A memory, and the logarithm of the inner learning rate: the outer loop moves both."""

    memory: Memory
    log_lr: Tensor  # scalar

    @classmethod
    def at(cls, memory: Memory, lr: float) -> Self:
        return cls(memory, torch.tensor(math.log(lr), dtype=memory.bases.dtype, device=memory.bases.device))

    @classmethod
    def of(cls, like: Memory, parts: dict[str, Tensor]) -> Self:
        """A point whose memory is `like` with other tensors."""
        return cls(like.with_parts({name: parts[name] for name in like.parts}), parts["log_lr"])

    @property
    def lr(self) -> float:
        return math.exp(self.log_lr.item())

    @property
    def parts(self) -> dict[str, Tensor]:
        return {**self.memory.parts, "log_lr": self.log_lr}

    def copy(self) -> "Point":
        """The same point in new tensors."""
        return Point.of(self.memory, {name: part.detach().clone() for name, part in self.parts.items()})


@dataclass(eq=False)
class Counters:
    """The numbers of the outer loop's state."""

    step: int = 0  # outer steps done
    looked: int = -1  # the step of the last look at the validation part
    elapsed: float = 0.0  # seconds spent so far, over all processes
    stage: int = 0
    entered: int = 0  # the step that the stage began at
    entered_at: float = 0.0  # and the second
    stale: int = 0  # looks in this stage since the best point was found
    retreats: int = 0  # returns to the best point
    loss: float = math.nan  # of the last step
    best_accuracy: float = -math.inf

    def counters(self) -> dict[str, Any]:
        """All of them by name, as JSON can hold them: None where a number is not finite."""
        numbers = {field.name: getattr(self, field.name) for field in fields(Counters)}
        return {name: value if math.isfinite(value) else None for name, value in numbers.items()}

    def take_counters(self, counters: dict[str, Any]) -> None:
        """Continue from what `counters()` returned. MemoryFileError where it cannot have."""
        counters = {"looked": counters.get("step"), **counters}  # the first checkpoints were all made after a look
        for field in fields(Counters):
            value: Any = counters.get(field.name, ...)
            if value is None and not math.isfinite(field.default):  # type: ignore[arg-type]
                value = field.default
            elif type(value) not in ((int,) if field.type is int else (int, float)) or abs(value) > _MOST_NUMBER:
                raise damaged(f"its counter {field.name} is impossible")
            setattr(self, field.name, value)
        whole = (self.step, self.stage, self.entered, self.stale, self.retreats, self.looked + 1)
        accuracy, seconds = self.best_accuracy, (self.entered_at, self.elapsed)
        if not (
            all(0 <= count <= _MOST_STEPS for count in whole)
            and max(self.looked, self.entered) <= self.step
            and self.retreats <= _RETREATS
            and all(0 <= each <= _MOST_SECONDS for each in seconds)
            and (0 <= accuracy <= 1 or accuracy == -math.inf)
        ):
            raise damaged("its counters are impossible")


class OuterLoop(Counters):
    """A memory that is optimised. A later process can continue from `tensors()` and `counters()` alone."""

    def __init__(self, start: Memory, lr: float, settings: Outer) -> None:
        """`lr`: the inner learning rate to start from."""
        super().__init__()
        self.here = Point.at(start, lr).copy()
        self.average, self.best = self.here.copy(), self.here.copy()
        self._settings = settings
        self._optimisers = self._fresh_optimisers()

    @property
    def draw(self) -> int:
        """The number of this step for random draws: the step, and another one after every retreat."""
        return self.step + 1_000_000_007 * self.retreats

    def move(self, outcome: Outcome, finished: float) -> None:
        """One outer step along `outcome`'s gradient; `finished` is the share of the stage that is over.

        A loss or gradient that is not finite moves nothing: the loop returns to the best point, at half the rate.
        Raises DivergedError where that happened too often.
        """
        gradients = outcome.gradients
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part) for part in gradients.values()]))
        self.loss, size = outcome.loss.item(), norm.item()
        if not (math.isfinite(self.loss) and math.isfinite(size)):
            return self._retreat()
        shrink = min(1.0, self._settings.clip / max(size, 1e-12))
        for optimiser, moved in self._optimisers:
            for name, tensor in moved.items():
                tensor.grad = (gradients[name] * shrink).reshape(tensor.shape) if name in gradients else None
            for group in optimiser.param_groups:
                group["lr"] = self._settings.lr * self._share_of_rate(finished) * 0.5**self.retreats
            optimiser.step()
        self.step += 1
        # At first the average is one of few points, so it forgets its start; later it has the recipe's decay.
        young = self.step - self.entered
        keep = min(self._settings.average, young / (young + 10))
        for name, mean in self.average.parts.items():
            mean.lerp_(self.here.parts[name].detach(), 1 - keep)
        return None

    def consider(self, accuracy: float) -> None:
        """Keep the present average as the best point if its `accuracy` is the best so far."""
        self.looked = self.step
        self.stale += 1
        if accuracy > self.best_accuracy:
            self.best_accuracy, self.stale = accuracy, 0
            self.best = self.average.copy()

    def enter(self, settings: Outer) -> None:
        """Begin the next stage from the best point, with a new optimiser."""
        self.stage, self.entered, self.entered_at, self.stale = self.stage + 1, self.step, self.elapsed, 0
        self._settings = settings
        self._take_up_best()

    def tensors(self) -> dict[str, Tensor]:
        """The state's tensors by name."""
        named: dict[str, Tensor] = {}
        for prefix, point in self._points().items():
            named |= {prefix + name: part.detach() for name, part in point.parts.items()}
        for optimiser, moved in self._optimisers:
            for name, tensor in moved.items():
                named |= {f"{name}.{key}": value for key, value in optimiser.state[tensor].items()}
        return named | self._constants

    def restore(self, tensors: dict[str, Tensor], counters: dict[str, Any], settings: Outer) -> None:
        """Continue from what `tensors()` and `counters()` returned; `settings` are those of that stage.

        Raises MemoryFileError where they cannot have returned it: the state is then not to be used.
        """
        self._settings = settings
        self.take_counters(counters)
        if self.here.memory.cells is not None:
            tensors = {CELLS: self.here.memory.cells, **tensors}  # the first checkpoints do not tell them
        require_like(tensors, self._like(tensors))
        rates = [tensors[f"{prefix}log_lr"].item() for prefix in self._points()]
        if max(map(abs, rates)) > _MOST_LOG_LR:
            raise damaged("its rate is impossible")
        device = self.here.log_lr.device
        # Another machine, or less time for it, may have computed another start.
        constants: dict[str, Any] = {name: tensors[name].to(device) for name in self._constants}
        like = replace(self.here.memory, **constants)
        if like.support is not None and not is_support(tensors[SUPPORT], like.spec):
            raise damaged(f"its {SUPPORT} is impossible")
        if like.cells is not None and (like.cells >= like.spec.cells).any():
            raise damaged(f"its {CELLS} are impossible")
        # Adam keeps its count of steps on the CPU, on every device.
        tensors = {name: t if name.endswith(".step") else t.to(device) for name, t in tensors.items()}
        self.best, self.average, self.here = (
            Point.of(like, {name: tensors.pop(prefix + name) for name in self.here.parts}) for prefix in self._points()
        )
        self._optimisers = self._fresh_optimisers()
        for optimiser, moved in self._optimisers:
            for name, tensor in moved.items():
                prefix = f"{name}."
                state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
                if state:
                    optimiser.state[tensor] = state

    @property
    def _constants(self) -> dict[str, Tensor]:
        """The memory's tensors that are not learned, by name: they are those of its start."""
        memory = self.here.memory
        return {name: tensor for name, tensor in memory.tensors.items() if name not in memory.parts}

    def _points(self) -> dict[str, Point]:
        """The points of the state by the prefix of their tensors' names."""
        return {"best.": self.best, "average.": self.average, "": self.here}

    def _like(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """As a checkpoint's tensors must be: of the optimisers' states all that a step makes of them, or nothing."""
        like = {prefix + name: part for prefix, point in self._points().items() for name, part in point.parts.items()}
        moved = self.here.copy()
        optimisers = OUTER_OPTIMISERS[self._settings.optimiser].make(
            moved.parts, self._settings.lr, self._settings.momentum
        )
        states: dict[str, dict[str, Tensor]] = {}
        for optimiser, parts in optimisers:
            for tensor in parts.values():
                tensor.grad = torch.zeros_like(tensor)
            optimiser.step()
            for name, tensor in parts.items():
                states[name] = {f"{name}.{key}": value for key, value in optimiser.state[tensor].items()}
        like |= self._constants
        begun = any(state.keys() & tensors.keys() for state in states.values())
        for name, state in states.items():
            if state.keys() & tensors.keys() or (begun and name != "log_lr"):  # that has no gradient in some stages
                like |= state
        for name in like.keys() & tensors.keys():
            if name.endswith((".step", ".exp_avg_sq")) and (tensors[name] < 0).any():
                raise damaged(f"its {name} is negative")
        return like

    def _fresh_optimisers(self) -> Movers:
        """New optimisers of the point `here`, each with the tensors that it moves: its parts, or views of them."""
        settings = self._settings
        return OUTER_OPTIMISERS[settings.optimiser].make(self.here.parts, settings.lr, settings.momentum)

    def _share_of_rate(self, finished: float) -> float:
        """1 until the last `decay` of the stage, then a cosine down to `last`.

        The cosine of training.loop.share_of_rate starts from the other end, so the last bits of the two differ. Either
        in the other's form would change seeded runs.
        """
        decay, last = self._settings.decay, self._settings.last
        if decay == 0 or finished <= 1 - decay:
            return 1.0
        return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * (finished - 1 + decay) / decay))

    def _retreat(self) -> None:
        self.retreats += 1
        if self.retreats > _RETREATS:
            raise DivergedError(
                f"the loss is not finite at step {self.step}, at {0.5**_RETREATS:g} of the rate too",
                do="Lower the recipe's lr, or its stages' outer.lr",
            )
        self._take_up_best()

    def _take_up_best(self) -> None:
        self.here, self.average = self.best.copy(), self.best.copy()
        self._optimisers = self._fresh_optimisers()
