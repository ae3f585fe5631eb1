"""The unrolled objective [RTP, sec. 3.3]: train a fresh network on recalled images, and test it on real ones.

    θ_0 fresh;  θ_{t+1} = θ_t after a step of SGD with momentum on recalled (x_t, y_t);  loss = CE(θ_T; real batch)

Its gradient with respect to every part of the memory and (if it is learned) the inner rate runs through all T steps of
training, exactly.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn.functional import cross_entropy

from memcli import seeds
from memcli.augment import Augmentation
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
from memcli.memory import Memory, Query
from memcli.networks import build, stateless
from memcli.objectives.base import Objective, Outcome, RealImages
from memcli.recipe import Unrolled
from memcli.sampling import balanced_rows
from memcli.spec import MemorySpec


class UnrolledObjective(Objective):
    """See the module's text. `adjoint` and `derivatives` may be any of the engine's: they agree in value and differ
    in cost. Layers that drop at random do so in the inner training, each step with a draw of its own, and not in the
    test on real images.

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

    def step(self, memory: Memory, lr: float, real: RealImages, seed: int, step: int) -> Outcome:
        settings = self._settings
        initial, fixed = self._fresh(seed, step)
        images, labels = real.batch(settings.real_per_class, seed, step)
        draws = tuple(draw.to(self._device) for draw in self._augmentation.draw(self._spec.data.shape, seed, step))
        images = self._augmentation.apply(images, draws)
        large = memory.enlarged()
        problem = InnerProblem(
            initial=initial,
            controls=tuple(part.detach() for part in large.parts.values()),
            batches=self._batches((*draws, *fixed), seed, step),
            derivatives=self._derivatives,
            optimiser=SGD(lr, settings.momentum),
            learn_rate=settings.learn_lr,
        )
        result = self._placed(seed, step).outer_gradient(
            problem, lambda params: self._outer_loss(params, (images,), (labels, *fixed))
        )
        gradients = dict(zip(memory.parts, result.controls, strict=True))
        gradients["bases"] = memory.shrunk(gradients["bases"])
        return Outcome(result.loss, gradients if result.rate is None else {**gradients, "log_lr": result.rate})

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

    def _fresh(self, seed: int, step: int) -> tuple[Tensors, Tensors]:
        """The trained parameters of this step's networks, packed, of several in rows; and the fixed ones."""
        networks = [
            build(
                self._settings.network,
                self._spec.data,
                seed=seed,
                purpose=f"inner {rank}" if rank else "inner",
                step=step,
            ).to(self._device)
            for rank in range(self._settings.networks)
        ]
        parts, (fixed, *_) = zip(*(self._trained.split(network) for network in networks), strict=True)
        packed = [self._packing.packed(weights) for weights in parts]
        return (packed[0] if len(packed) == 1 else torch.stack(packed),), fixed

    def _placed(self, seed: int, step: int) -> Adjoint:
        """The adjoint of this step's window, wherever it falls; of the whole training, where there are no windows."""
        window = self._settings.window
        if not window:
            return self._adjoint
        draw = torch.rand((), generator=seeds.generator(seed, "window", step)).item()
        return Windowed(int(draw * (self._settings.steps - window + 1)), window, self._adjoint)

    def _batches(self, constant: Tensors, seed: int, step: int) -> list[Tensors]:
        """For each of the T inner steps: rows, labels, the seed of what is dropped (if anything), and `constant`."""
        batches: list[Tensors] = []
        for t, query in enumerate(self.queries(seed, step)):
            drops = (torch.tensor(seeds.derive(seed, "dropped", step, t)),) if self._drops else ()
            batches.append((query.rows, query.labels, *drops, *constant))
        return batches

    def queries(self, seed: int, step: int) -> list[Query]:
        """What each of the T inner steps recalls: `per_class` rows of every class, another draw in every outer step."""
        rows, classes = self._spec.rows, len(self._spec.data.classes)
        draw = seeds.derive(seed, "recalled", step)
        queries = []
        for t in range(self._settings.steps):
            chosen, of_class = balanced_rows(rows, classes, self._settings.per_class, draw, t, "inner minibatch")
            queries.append(Query.of_classes(chosen, of_class, classes))
        every_row = torch.stack([query.rows for query in queries]).to(self._device)  # one transfer, not T
        every_label = torch.stack([query.labels for query in queries]).to(self._device)
        return [Query(*pair) for pair in zip(every_row, every_label, strict=True)]
