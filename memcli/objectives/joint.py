"""The unrolled objective inside joint training: on a task's memory together with those of the tasks before it.

    θ_0 from a pilot's joint training, at any age;  T steps of SGD with momentum on minibatches that mix recalled
    images of this memory (learned) with images of other tasks (fixed);  loss = CE(θ_T; real images of this task)

A memory that trains a network well alone need not do so among nineteen others. The gradient is exact, as in
unrolled.py.
"""

from collections.abc import Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from memcli import seeds
from memcli.data.real import RealImages
from memcli.data.sampling import drawn_rows
from memcli.engine import Functional, InnerProblem, Stored, Tensors, Traced
from memcli.errors import UsageError
from memcli.memory.memory import Memory, Query
from memcli.memory.spec import MemorySpec
from memcli.networks import stateless
from memcli.objectives.base import Objective, Outcome
from memcli.objectives.batches import JointBatch
from memcli.objectives.unrolled import Unrolled


class JointObjective(Objective):
    """See the module's text. `settings.network` is not used: networks come from `starts`."""

    def __init__(
        self,
        settings: Unrolled,
        spec: MemorySpec,
        network: nn.Module,
        starts: Sequence[Tensors],
        places: Tensor,
        outputs: int,
        others: tuple[Tensor, Tensor] | None,
    ) -> None:
        """`network` gives the layers, on its device; `starts` the weights that inner training may begin from.

        `places`, (classes,) int64: the output of the network, out of `outputs`, for each class of the memory.
        `others`: images of other tasks, (n, C, H, W), and their label vectors over the outputs; None where there are
        none. A minibatch has as many of them as of the memory's own.
        """
        if not stateless(network):
            raise UsageError(
                "networks that draw at random or keep statistics cannot be trained jointly here",
                do="Choose one without batch norm and dropout",
            )
        _refuse_unused(settings)
        self._settings, self._spec, self._starts, self._others = settings, spec, starts, others
        self._large = spec.enlarged()  # of the enlarged memory that inner training recalls from
        self._network = Functional(network)
        self._places = places
        self._outputs = outputs
        self._derivatives = Traced(self._training_loss)

    def step(self, memory: Memory, lr: float, real: RealImages, seed: int, step: int) -> Outcome:
        settings = self._settings
        draw = seeds.generator(seed, "joint start", step)
        initial = self._starts[int(torch.randint(len(self._starts), (), generator=draw))]
        images, labels = real.sample(settings.outer_images(len(self._spec.data.classes)), seed, step)
        problem = InnerProblem(
            initial=initial,
            controls=tuple(part.detach() for part in memory.enlarged().parts.values()),
            batches=self._batches(seed, step),
            derivatives=self._derivatives,
            optimiser=settings.inner_optimiser(lr),
        )
        result = Stored().outer_gradient(
            problem, lambda params: cross_entropy(self._network(params, (), images), self._places[labels])
        )
        return Outcome(result.loss, memory.shrunk(dict(zip(memory.parts, result.controls, strict=True))))

    def _training_loss(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        """The loss of one inner step. `controls` are an enlarged memory's parts; `batch` is a flat JointBatch."""
        seen = JointBatch.of(batch)
        memory = Memory(self._large, **dict(zip(self._large.shapes, controls, strict=True)))
        query = Query(seen.rows, seen.labels)
        images, own = memory.recall(query), memory.targets(query)
        targets = own.new_zeros(len(own), self._outputs).index_copy(1, self._places, own)
        if seen.others:
            images, targets = (torch.cat(pair) for pair in zip((images, targets), seen.others, strict=True))
        return cross_entropy(self._network(params, (), images), targets)

    def _batches(self, seed: int, step: int) -> list[Tensors]:
        """A flat JointBatch for each of the T inner steps, drawn anew in every outer step."""
        settings, classes = self._settings, len(self._spec.data.classes)
        images = settings.recalled_images(classes)
        draw = seeds.derive(seed, "joint recalled", step)
        generator = seeds.generator(seed, "joint others", step)
        batches: list[Tensors] = []
        for t in range(settings.steps):
            rows, own = drawn_rows(self._spec.rows, classes, images, draw, t, "inner minibatch")
            query = Query.of_classes(rows, own, classes)
            others: Tensors = ()
            if self._others is not None:
                chosen = torch.randint(len(self._others[0]), (len(query),), generator=generator)
                others = tuple(part[chosen] for part in self._others)
            batches.append(JointBatch(query.rows, query.labels, others).to(self._places.device).flat())
        return batches


def _refuse_unused(settings: Unrolled) -> None:
    """Raise UsageError where a setting asks for what joint training does not do."""
    plain = replace(settings, learn_lr=False, window=0, pool=0, augment="", networks=1)
    asked = [field.name for field in fields(settings) if getattr(settings, field.name) != getattr(plain, field.name)]
    if asked:
        raise UsageError(
            f"joint training has no {', '.join(asked)}",
            do="Give learn_lr = false, and leave window, pool, augment and networks at their defaults",
        )
