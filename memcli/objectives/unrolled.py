"""The unrolled objective [RTP, sec. 3.3]: train a fresh network on recalled images, and test it on real ones.

    θ_0 fresh;  θ_{t+1} = θ_t after a step of SGD with momentum on recalled (x_t, y_t);  loss = CE(θ_T; real batch)

Its gradient with respect to the bases and the addresses runs through all T steps of training, exactly.
"""

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from memcli import seeds
from memcli.engine import SGD, Adjoint, InnerProblem, Stored
from memcli.errors import UsageError
from memcli.memory import Memory, Query
from memcli.networks import build, stateless
from memcli.objectives.base import Objective, Outcome, RealImages
from memcli.recipe import Unrolled
from memcli.sampling import balanced_rows
from memcli.spec import MemorySpec


class UnrolledObjective(Objective):
    """See the module's text. `adjoint` may be any of the engine's: they agree in value and differ in cost."""

    def __init__(
        self, settings: Unrolled, spec: MemorySpec, device: torch.device, adjoint: Adjoint | None = None
    ) -> None:
        self._settings, self._spec, self._device = settings, spec, device
        self._adjoint = adjoint or Stored()
        self._skeleton = build(settings.network, spec.data, seed=0).to(device)  # its weights are never used
        if not stateless(self._skeleton):
            raise UsageError(
                f"{settings.network!r} keeps running statistics or drops at random, which cannot be unrolled",
                do="Distil with a network without them, such as convnet:norm=instance",
            )

    def step(self, memory: Memory, real: RealImages, seed: int, step: int) -> Outcome:
        settings, data = self._settings, self._spec.data
        fresh = build(settings.network, data, seed=seed, purpose="inner", step=step).to(self._device)
        names = [name for name, _ in fresh.named_parameters()]
        queries = self.queries(seed, step)
        images, labels = real.batch(settings.real_per_class, seed, step)

        def logits(params: tuple[Tensor, ...], x: Tensor) -> Tensor:
            return functional_call(self._skeleton, dict(zip(names, params, strict=True)), (x,))

        def training_loss(params: tuple[Tensor, ...], controls: tuple[Tensor, ...], t: int) -> Tensor:
            recalled = Memory(self._spec, *controls).recall(queries[t])
            return cross_entropy(logits(params, recalled), queries[t].labels)

        problem = InnerProblem(
            initial=tuple(param.detach() for param in fresh.parameters()),
            controls=(memory.bases, memory.addresses),
            loss=training_loss,
            steps=settings.steps,
            optimiser=SGD(settings.lr, settings.momentum),
        )
        result = self._adjoint.outer_gradient(problem, lambda params: cross_entropy(logits(params, images), labels))
        return Outcome(result.loss, *result.controls)

    def queries(self, seed: int, step: int) -> list[Query]:
        """What each of the T inner steps recalls: `per_class` rows of every class, another draw in every outer step."""
        rows, classes = self._spec.rows, len(self._spec.data.classes)
        draw = seeds.derive(seed, "recalled", step)
        queries = []
        for t in range(self._settings.steps):
            chosen, of_class = balanced_rows(rows, classes, self._settings.per_class, draw, t, "inner minibatch")
            query = Query.of_classes(chosen, of_class, classes)
            queries.append(Query(query.rows.to(self._device), query.labels.to(self._device)))
        return queries
