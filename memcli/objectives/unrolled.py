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
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn.functional import cross_entropy

from memcli import seeds
from memcli.checks import at_least_one, below_one, not_negative, one_of
from memcli.data.augment import Augmentation
from memcli.data.augmentations import augmentations
from memcli.data.real import RealImages
from memcli.engine import (
    INNER_OPTIMISERS,
    Adjoint,
    Derivatives,
    Functional,
    InnerProblem,
    InPieces,
    Loss,
    Optimiser,
    Packing,
    ReverseOverReverse,
    Stored,
    Tensors,
    Traced,
    TracedLoss,
    Windowed,
    in_bfloat16,
    quickest,
)
from memcli.errors import UsageError
from memcli.memory.memory import Memory, Query, averaged_down
from memcli.memory.spec import MemorySpec
from memcli.networks import averaging, build, stateless
from memcli.objectives.base import Objective, ObjectiveKind, ObjectiveSettings, Outcome, Shared
from memcli.objectives.batches import InnerBatch, inner_draws
from memcli.objectives.pool import Training, Trainings


@dataclass(frozen=True)
class Unrolled(Shared, ObjectiveSettings):
    """Settings of the unrolled objective: train a fresh network on recalled images, and test it on real ones."""

    kind: ClassVar[str] = "unrolled"
    newer: ClassVar[tuple[str, ...]] = ("optimiser", "images", "real_images")

    network: str = "convnet:width=32"  # trained in the inner loop
    steps: int = 20  # T
    per_class: int = 2  # recalled images of each class in a minibatch, where `images` is 0
    learn_lr: bool = True  # whether the inner rate is learned too
    momentum: float = 0.9  # of the inner optimiser: SGD's momentum, Adam's first beta
    real_per_class: int = 20  # real images of each class in the outer loss, where `real_images` is 0
    window: int = 0  # how many of the T steps are differentiated, at a random place; training ends there. 0: all
    pool: int = 0  # trainings that take turns and go on from window to window; 0: each outer step has a new one
    augment: str = ""  # names in AUGMENTATIONS; recalled and real images of an outer step share one draw
    networks: int = 1  # fresh networks of an outer step, all trained on the same minibatches; the loss is their mean
    optimiser: str = "sgd"  # a name in INNER_OPTIMISERS; it is differentiated by its exact adjoint
    images: int = 0  # recalled images of a minibatch, over classes in turn; 0: `per_class` of each
    real_images: int = 0  # real images of the outer loss, over classes in turn; 0: `real_per_class` of each

    def __post_init__(self) -> None:
        at_least_one(self, "steps", "per_class", "real_per_class", "networks")
        not_negative(self, "images", "real_images")
        below_one(self, "momentum")
        one_of(self, "optimiser", tuple(INNER_OPTIMISERS))
        if not 0 <= self.window <= self.steps:
            raise UsageError(f"recipe: window is {self.window}", do=f"Give 0 to {self.steps}, the steps")
        if self.pool < 0 or (self.pool and not self.window):
            raise UsageError(
                f"recipe: pool is {self.pool} and window {self.window}", do="Give a window, or 0 for the pool"
            )
        augmentations(self.augment)

    def shortest(self) -> Self:
        return replace(self, steps=1, window=0, pool=0)

    def most_rows(self, classes: int) -> int:
        """The rows of a class that one inner training uses twice: more would hardly be learned (docs/log/)."""
        return max(1, self.steps * self.recalled_images(classes) // (2 * classes))

    def images_per_step(self, classes: int) -> int:
        """Of all networks. Without a pool, training reaches a window after half of the other steps, on average."""
        differentiated = self.window or self.steps
        trained = 0 if self.pool else (self.steps - differentiated) / 2
        return round((differentiated + trained / 4) * self.recalled_images(classes) * self.networks)

    def make(self, spec: MemorySpec, device: torch.device, *, compile: bool, bfloat16: bool) -> "UnrolledObjective":
        return UnrolledObjective(self, spec, device, compile=compile, bfloat16=bfloat16)

    def inner_optimiser(self, lr: float) -> Optimiser:
        return INNER_OPTIMISERS[self.optimiser].make(lr, self.momentum)


class UnrolledObjective(Objective):
    """See the module's text. `adjoint` and `derivatives` may be any of the engine's: they agree in value and differ
    in cost. Dropout drops in the inner training, with a new draw in each step, and not in the test on real images.

    A window lies anywhere in the T steps, and the steps before it are trained only to reach it. With a `pool` every
    trained step is differentiated, except the first ones (see Trainings).

    By default each step is recorded once and replayed; with `compile` it is compiled too, which pays in long runs. On
    CUDA either is captured as a graph. Networks with layers that draw at random are neither recorded nor compiled. With
    `bfloat16` the convolutions of recorded training steps are done in that type; all else stays in float32.
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
        self._averaged = 1 if settings.augment else averaging(settings.network, spec.data)
        # Of the memory that inner training recalls from.
        self._large = replace(spec.enlarged(self._averaged), support=0)
        self._adjoint = adjoint or Stored()
        skeleton = build(settings.network, self._large.data, seed=0).to(device)  # its weights are never used
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
        backend = quickest(device, compile)
        if derivatives is None:
            training = in_bfloat16(backend) if bfloat16 else backend
            derivatives = ReverseOverReverse if self._drops else partial(Traced, backend=training)
        self._make_outer_loss, self._make_derivatives = partial(TracedLoss, backend=backend), derivatives
        self._most = 0  # images that a loss is differentiated for at once; 0: all of a minibatch
        self._outer_loss = self._make_outer_loss(self._testing_loss)
        self._derivatives = self._make_derivatives(self._training_loss)
        self._trainings = Trainings(settings.steps, settings.window, settings.pool, self._fresh)

    def step(self, memory: Memory, lr: float, real: RealImages, seed: int, step: int) -> Outcome:
        settings = self._settings
        training = self._trainings.next(seed, step)
        images, labels = real.sample(settings.outer_images(len(self._spec.data.classes)), seed, step)
        draws = tuple(draw.to(self._device) for draw in self._augmentation.draw(self._spec.data.shape, seed, step))
        images = averaged_down(self._augmentation.apply(images, draws), self._averaged)
        large = memory.enlarged(self._averaged).dense()
        fixed, length = training.fixed, settings.window or settings.steps
        problem = InnerProblem(
            initial=training.weights,
            controls=tuple(part.detach() for part in large.parts.values()),
            batches=self._batches(training, training.ahead + length, draws, seed, step),
            derivatives=self._derivatives,
            optimiser=settings.inner_optimiser(lr),
            learn_rate=settings.learn_lr,
            state=training.state,
            taken=training.taken,
        )
        adjoint = Windowed(training.ahead, length, self._adjoint) if settings.window else self._adjoint
        result = adjoint.outer_gradient(problem, lambda params: self._outer(params, images, labels, fixed))
        self._trainings.after(step, training, problem.steps, result)
        gradients = memory.shrunk(dict(zip(memory.parts, result.controls, strict=True)), self._averaged)
        return Outcome(result.loss, gradients if result.rate is None else {**gradients, "log_lr": result.rate})

    def lighten(self) -> bool:
        """Differentiate the losses for half as many images at once. False where dropout is drawn for all of them
        together, and where it is one image already.
        """
        settings, classes = self._settings, len(self._spec.data.classes)
        largest = max(settings.recalled_images(classes), settings.outer_images(classes))
        most = (self._most or largest) // 2
        if self._drops or most < 1:
            return False
        self._most = most
        # What was recorded, or captured as a graph, holds the memory of all images.
        self._outer_loss = self._make_outer_loss(self._testing_loss)
        self._derivatives = InPieces(self._make_derivatives(self._training_loss), self._pieces)
        return True

    def tensors(self) -> dict[str, Tensor]:
        return self._trainings.tensors()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self._trainings.restore(tensors, self._device, self._settings.inner_optimiser(1.0).start)

    def _training_loss(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        """The loss of one inner step. `controls` are an enlarged memory's parts; `batch` is a flat InnerBatch."""
        seen = InnerBatch.of(batch, drops=self._drops, draws=self._draws)
        memory = Memory(self._large, **dict(zip(self._large.shapes, controls, strict=True)))
        recalled = self._augmentation.apply(memory.recall_classes(seen.rows, seen.classes), seen.draws)
        targets = memory.class_targets(seen.rows, seen.classes)
        if self._settings.networks == 1:
            weights = self._packing.unpacked(*params)
            return cross_entropy(self._trained(weights, seen.fixed, recalled, seen.dropped), targets)
        # A sum over the networks: each has the gradient that it would have alone.
        return self._together(self._trained, params, seen.fixed, recalled, targets).sum()

    def _testing_loss(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        """The outer loss. `controls` are real images; `batch` holds their labels and the fixed parameters."""
        labels, *fixed = batch
        if self._settings.networks == 1:
            return cross_entropy(self._tested(self._packing.unpacked(*params), tuple(fixed), controls[0]), labels)
        return self._together(self._tested, params, tuple(fixed), controls[0], labels).mean()

    def _outer(self, params: Tensors, images: Tensor, labels: Tensor, fixed: Tensors) -> Tensor:
        """The outer loss of real images, (n, C, H, W), as many at a time as memory suffices for."""
        if not self._most:
            return self._outer_loss(params, (images,), (labels, *fixed))
        pieces = zip(images.split(self._most), labels.split(self._most), strict=True)
        parts = [self._outer_loss(params, (some,), (own, *fixed)) * (len(some) / len(images)) for some, own in pieces]
        return torch.stack(parts).sum()

    def _pieces(self, batch: Tensors) -> list[tuple[float, Tensors]]:
        whole = InnerBatch.of(batch, drops=self._drops, draws=self._draws)
        return [(share, piece.flat()) for share, piece in whole.pieces(self._most)]

    def _together(
        self, function: Functional, params: Tensors, fixed: Tensors, images: Tensor, labels: Tensor
    ) -> Tensor:
        """The losses of several networks on the same images, (networks,). `params`: a row for each network."""
        unpacked = self._packing.unpacked
        return vmap(lambda own: cross_entropy(function(unpacked(own), fixed, images), labels))(*params)

    def _fresh(self, seed: int, step: int, purpose: str) -> tuple[Tensors, Tensors]:
        """Packed weights of fresh networks, in rows where there are several, and the parameters that stay fixed."""
        networks = [
            build(
                self._settings.network,
                self._large.data,
                seed=seed,
                purpose=f"{purpose} {rank}" if rank else purpose,
                step=step,
            ).to(self._device)
            for rank in range(self._settings.networks)
        ]
        parts, (fixed, *_) = zip(*(self._trained.split(network) for network in networks), strict=True)
        packed = [self._packing.packed(weights) for weights in parts]
        weights = packed[0] if len(packed) == 1 else torch.stack(packed)
        return (weights,), fixed

    def _batches(self, training: Training, steps: int, draws: Tensors, seed: int, step: int) -> list[Tensors]:
        """For each of the next `steps` of a training an InnerBatch, flat."""
        batches: list[Tensors] = []
        numbers = range(training.taken, training.taken + steps)
        for t, drawn in zip(numbers, self._drawn(training.draw, numbers), strict=True):
            dropped = torch.tensor(seeds.derive(seed, "dropped", step, t)) if self._drops else None
            batches.append(InnerBatch(*drawn, dropped, draws, training.fixed).flat())
        return batches

    def queries(self, seed: int, step: int) -> list[Query]:
        """The queries of the T inner steps, drawn anew in every outer step."""
        drawn = self._drawn(seeds.derive(seed, "recalled", step), range(self._settings.steps))
        return [Query.of_classes(rows, classes, len(self._spec.data.classes)) for rows, classes in drawn]

    def _drawn(self, draw: int, steps: range) -> list[tuple[Tensor, Tensor]]:
        images = self._settings.recalled_images(len(self._spec.data.classes))
        return inner_draws(self._spec, images, draw, steps, self._device)


OBJECTIVE = ObjectiveKind(Unrolled)
