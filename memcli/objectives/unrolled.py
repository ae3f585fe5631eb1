"""The unrolled objective [RTP, sec. 3.3]: train a fresh network on recalled images, and test it on real ones.

    θ_0 fresh;  θ_{t+1} = θ_t after a step of SGD with momentum on recalled (x_t, y_t);  loss = CE(θ_T; real batch)

Its gradient with respect to every part of the memory and (if it is learned) the inner rate runs through all T steps of
training, exactly; with a window, through those of the window [RaT].

[RaT] Feng, Vedantam, Kempe, "Embarrassingly Simple Dataset Distillation", ICLR 2024.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn.functional import cross_entropy

from memcli import seeds
from memcli.checks import at_least_one, below_one
from memcli.data.augment import Augmentation
from memcli.data.augmentations import augmentations
from memcli.data.real import RealImages
from memcli.data.sampling import balanced_rows
from memcli.engine import (
    SGD,
    Adjoint,
    Derivatives,
    Functional,
    InnerProblem,
    Loss,
    Packing,
    ReverseOverReverse,
    Stored,
    Tensors,
    Traced,
    TracedLoss,
    Windowed,
    in_bfloat16,
    quickest,
    replayed,
)
from memcli.errors import UsageError
from memcli.memory.memory import Memory, Query
from memcli.memory.spec import MemorySpec
from memcli.networks import build, stateless
from memcli.objectives.base import Objective, Outcome


@dataclass(frozen=True)
class Unrolled:
    """Settings of the unrolled objective: train a fresh network on recalled images, and test it on real ones."""

    network: str = "convnet:width=32"  # trained in the inner loop
    steps: int = 20  # T
    per_class: int = 2  # recalled images of each class in a minibatch
    learn_lr: bool = True  # whether the inner rate is learned with the memory
    momentum: float = 0.9  # inner SGD momentum
    real_per_class: int = 20  # real images of each class in the outer loss
    window: int = 0  # differentiate this many of the T steps, placed at random, and train no longer; 0: all of them
    pool: int = 0  # trainings that take turns and go on from window to window; 0: each outer step has one of its own
    augment: str = (
        ""  # operations of memcli.data.augment; one draw in an outer step, for recalled and real images alike
    )
    networks: int = (
        1  # fresh networks trained at once in an outer step, on the same minibatches; their mean is the loss
    )

    def __post_init__(self) -> None:
        at_least_one(self, "steps", "per_class", "real_per_class", "networks")
        below_one(self, "momentum")
        if not 0 <= self.window <= self.steps:
            raise UsageError(f"recipe: window is {self.window}", do=f"Give 0 to {self.steps}, the steps")
        if self.pool < 0 or (self.pool and not self.window):
            raise UsageError(
                f"recipe: pool is {self.pool} and window {self.window}", do="Give a window, or 0 for the pool"
            )
        augmentations(self.augment)

    @property
    def most_rows(self) -> int:
        """The rows of a class that one inner training sees twice: more would hardly be learned (docs/log/)."""
        return max(1, self.steps * self.per_class // 2)


@dataclass(frozen=True)
class _Training:
    """An inner training on its way."""

    weights: Tensors  # packed
    fixed: Tensors  # parameters that are not trained
    draw: int  # its minibatches are drawn from
    ahead: int  # steps to its next window
    taken: int = 0  # steps so far
    state: Tensors | None = None  # the optimiser's, once it took a step

    @property
    def tensors(self) -> dict[str, Tensors]:
        return {"weights": self.weights, "fixed": self.fixed, "state": self.state or ()}


class UnrolledObjective(Objective):
    """See the module's text. `adjoint` and `derivatives` may be any of the engine's: they agree in value and differ
    in cost. Layers that drop at random do so in the inner training, each step with a draw of its own, and not in the
    test on real images.

    A window falls anywhere in the T steps, and those before it are trained for it alone; with a `pool`, each outer step
    takes the next window of one of several trainings, which go on where they were while the memory moves, and end after
    T steps. So no step is trained that is not differentiated, but for the first: they begin at ages spread over T.

    By default each step is recorded once and replayed; with `compile` it is compiled too, and on CUDA captured as a
    graph, which pays in long runs. Networks with layers that draw at random are neither recorded nor compiled. With
    `bfloat16` the convolutions of recorded training steps are done in that type; everything around them, and the outer
    loss, stays in float32.
    """

    def __init__(
        self,
        settings: Unrolled,
        spec: MemorySpec,
        device: torch.device,
        adjoint: Adjoint | None = None,
        derivatives: Callable[[Loss], Derivatives] | None = None,
        compile: bool = False,
        bfloat16: bool = False,
    ) -> None:
        self._settings, self._spec, self._device = settings, spec, device
        self._large = replace(spec, scale=1, cells=0)  # of the enlarged memory that inner training recalls from
        self._adjoint = adjoint or Stored()
        skeleton = build(settings.network, spec.data, seed=0).to(device)  # its weights are never used
        if next(skeleton.buffers(), None) is not None:
            raise UsageError(
                f"{settings.network!r} keeps running statistics, which cannot be unrolled",
                do="Distil with a network without them, such as convnet:norm=instance",
            )
        self._drops = not stateless(skeleton)
        if self._drops and settings.networks > 1:
            raise UsageError(
                f"{settings.network!r} draws at random, which several networks at once cannot",
                do="Give the recipe's stage networks = 1",
            )
        self._augmentation = Augmentation(settings.augment)
        self._draws = len(self._augmentation.draw(spec.data.shape, 0, 0))  # tensors of a draw
        self._trained, self._tested = Functional(skeleton), Functional(deepcopy(skeleton).eval())
        self._packing = Packing(self._trained.split(skeleton)[0])  # the adjoint sees one vector of weights
        backend = quickest(device) if compile else replayed
        self._outer_loss = TracedLoss(self._testing_loss, backend)
        if derivatives is None:
            training = in_bfloat16(backend) if bfloat16 else backend
            derivatives = ReverseOverReverse if self._drops else partial(Traced, backend=training)
        self._derivatives = derivatives(self._training_loss)
        self._pool: list[_Training | None] = []  # None: ended

    def step(self, memory: Memory, lr: float, real: RealImages, seed: int, step: int) -> Outcome:
        settings = self._settings
        training = self._next(seed, step)
        images, labels = real.batch(settings.real_per_class, seed, step)
        draws = tuple(draw.to(self._device) for draw in self._augmentation.draw(self._spec.data.shape, seed, step))
        images = self._augmentation.apply(images, draws)
        large = memory.enlarged()
        fixed, length = training.fixed, settings.window or settings.steps
        problem = InnerProblem(
            initial=training.weights,
            controls=tuple(part.detach() for part in large.parts.values()),
            batches=self._batches(training, training.ahead + length, draws, seed, step),
            derivatives=self._derivatives,
            optimiser=SGD(lr, settings.momentum),
            learn_rate=settings.learn_lr,
            state=training.state,
            taken=training.taken,
        )
        adjoint = Windowed(training.ahead, length, self._adjoint) if settings.window else self._adjoint
        result = adjoint.outer_gradient(problem, lambda params: self._outer_loss(params, (images,), (labels, *fixed)))
        if settings.pool:
            taken = training.taken + problem.steps
            on = taken + length <= settings.steps and result.loss.isfinite()
            after = replace(training, weights=result.weights, state=result.state, taken=taken, ahead=0)
            self._pool[step % settings.pool] = after if on else None
        gradients = dict(zip(memory.parts, result.controls, strict=True))
        gradients["bases"] = memory.shrunk(gradients["bases"])
        return Outcome(result.loss, gradients if result.rate is None else {**gradients, "log_lr": result.rate})

    def tensors(self) -> dict[str, Tensor]:
        """The pool. Places whose training has ended have a draw of -1."""
        found = {}
        for place, training in enumerate(self._pool):
            told = (-1, 0, 0) if training is None else (training.draw, training.ahead, training.taken)
            found[f"{place}.counts"] = torch.tensor(told)
            for name, tensors in [] if training is None else training.tensors.items():
                found |= {f"{place}.{name}.{number}": tensor for number, tensor in enumerate(tensors)}
        return found

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self._pool = []
        for place in range(self._settings.pool if tensors else 0):
            draw, ahead, taken = tensors[f"{place}.counts"].tolist()
            if draw < 0:
                self._pool.append(None)
                continue
            part: dict[str, Tensors] = {}
            for name in ("weights", "fixed", "state"):
                count = sum(key.startswith(f"{place}.{name}.") for key in tensors)
                part[name] = tuple(tensors[f"{place}.{name}.{n}"].to(self._device) for n in range(count))
            state = part["state"] if taken else None
            self._pool.append(_Training(part["weights"], part["fixed"], draw, ahead, taken, state))

    def _training_loss(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        """The loss of one inner step. `controls` are an enlarged memory's parts; `batch` is one of `_batches`."""
        rows, labels, *others = batch
        dropped = others.pop(0) if self._drops else None
        draws, fixed = others[: self._draws], others[self._draws :]
        memory = Memory(self._large, **dict(zip(self._large.shapes, controls, strict=True)))
        query = Query(rows, labels)
        recalled = self._augmentation.apply(memory.recall(query), tuple(draws))
        if self._settings.networks == 1:
            weights = self._packing.unpacked(*params)
            return cross_entropy(self._trained(weights, tuple(fixed), recalled, dropped), memory.targets(query))
        # A sum over the networks: each has the gradient that it would have alone.
        return self._together(self._trained, params, tuple(fixed), recalled, memory.targets(query)).sum()

    def _testing_loss(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        """The outer loss. `controls` are real images; `batch` holds their labels and the fixed parameters."""
        labels, *fixed = batch
        if self._settings.networks == 1:
            return cross_entropy(self._tested(self._packing.unpacked(*params), tuple(fixed), controls[0]), labels)
        return self._together(self._tested, params, tuple(fixed), controls[0], labels).mean()

    def _together(
        self, function: Functional, params: Tensors, fixed: Tensors, images: Tensor, labels: Tensor
    ) -> Tensor:
        """The losses of several networks on the same images, (networks,). `params`: a row for each network."""
        unpacked = self._packing.unpacked
        return vmap(lambda own: cross_entropy(function(unpacked(own), fixed, images), labels))(*params)

    def _next(self, seed: int, step: int) -> _Training:
        """The training whose next window this step differentiates."""
        steps, window, pool = self._settings.steps, self._settings.window, self._settings.pool
        if not pool:
            place = torch.rand((), generator=seeds.generator(seed, "window", step)).item() if window else 0.0
            return self._fresh(seed, step, ahead=int(place * (steps - window + 1)))
        if not self._pool:  # at ages spread over T, in whole windows
            self._pool = [
                self._fresh(seed, step, f"pool {place}", (place * (steps // window) // pool) * window)
                for place in range(pool)
            ]
        place = step % pool
        return self._pool[place] or self._fresh(seed, step, f"pool {place}")

    def _fresh(self, seed: int, step: int, purpose: str = "inner", ahead: int = 0) -> _Training:
        """A training at its start; of several networks the weights are in rows."""
        networks = [
            build(
                self._settings.network,
                self._spec.data,
                seed=seed,
                purpose=f"{purpose} {rank}" if rank else purpose,
                step=step,
            ).to(self._device)
            for rank in range(self._settings.networks)
        ]
        parts, (fixed, *_) = zip(*(self._trained.split(network) for network in networks), strict=True)
        packed = [self._packing.packed(weights) for weights in parts]
        weights = packed[0] if len(packed) == 1 else torch.stack(packed)
        draw = seeds.derive(seed, "recalled" if purpose == "inner" else purpose, step)
        return _Training((weights,), fixed, draw, ahead)

    def _batches(self, training: _Training, steps: int, draws: Tensors, seed: int, step: int) -> list[Tensors]:
        """For each of the next `steps` of a training: rows, labels, the seed of what is dropped (if anything), the
        augmentation's draws and the fixed parameters."""
        batches: list[Tensors] = []
        numbers = range(training.taken, training.taken + steps)
        for t, query in zip(numbers, self._queries(training.draw, numbers), strict=True):
            drops = (torch.tensor(seeds.derive(seed, "dropped", step, t)),) if self._drops else ()
            batches.append((query.rows, query.labels, *drops, *draws, *training.fixed))
        return batches

    def queries(self, seed: int, step: int) -> list[Query]:
        """What each of the T inner steps recalls: `per_class` rows of every class, another draw in every outer step."""
        return self._queries(seeds.derive(seed, "recalled", step), range(self._settings.steps))

    def _queries(self, draw: int, steps: range) -> list[Query]:
        rows, classes = self._spec.rows, len(self._spec.data.classes)
        queries = []
        for t in steps:
            chosen, of_class = balanced_rows(rows, classes, self._settings.per_class, draw, t, "inner minibatch")
            queries.append(Query.of_classes(chosen, of_class, classes))
        every_row = torch.stack([query.rows for query in queries]).to(self._device)  # one transfer, not T
        every_label = torch.stack([query.labels for query in queries]).to(self._device)
        return [Query(*pair) for pair in zip(every_row, every_label, strict=True)]
