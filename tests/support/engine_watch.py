"""Watches an inner problem being solved: the order of its steps, and the vectors of its trajectory that are alive."""

import weakref
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from torch import Tensor

from memcli.engine import Derivatives, Direction, InnerProblem, Optimiser, Products, Tensors
from memcli.engine.optimisers import Pulled


class Watch:
    """`calls` lists ("gradient" | "products", t); `peak` is the most vectors as long as θ that were alive at a call.

    θ_T is never stepped from and is not seen.
    """

    def __init__(self, problem: InnerProblem) -> None:
        self.calls: list[tuple[str, int]] = []
        self.peak = 0
        self._count = len(problem.initial)
        self._seen: dict[int, weakref.ref[Tensor]] = {}
        optimiser = _Optimiser(problem.optimiser, self)
        type(optimiser).needs_state = problem.optimiser.needs_state
        self.problem = replace(problem, derivatives=_Derivatives(problem.derivatives, self), optimiser=optimiser)

    def see(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            self._seen[id(tensor)] = weakref.ref(tensor)

    def called(self, what: str, batch: Tensors) -> None:
        self.calls.append((what, int(batch[0])))
        self._seen = {key: seen for key, seen in self._seen.items() if seen() is not None}
        self.peak = max(self.peak, -(-len(self._seen) // self._count))

    def steps(self, what: str) -> list[int]:
        return [t for name, t in self.calls if name == what]


class _Derivatives(Derivatives):
    def __init__(self, inner: Derivatives, watch: Watch) -> None:
        self.loss, self._inner, self._watch = inner.loss, inner, watch

    def gradient(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensors:
        self._watch.see(params)
        self._watch.called("gradient", batch)
        return self._inner.gradient(params, controls, batch)

    def products(self, params: Tensors, controls: Tensors, batch: Tensors, direction: Direction) -> Products:
        self._watch.called("products", batch)
        return self._inner.products(params, controls, batch, direction)


class _Optimiser(Optimiser):
    needs_state: ClassVar[bool]

    def __init__(self, inner: Optimiser, watch: Watch) -> None:
        self.lr, self.weight_decay, self._inner, self._watch = inner.lr, inner.weight_decay, inner, watch

    def start(self, params: Tensors) -> Tensors:
        return self._inner.start(params)

    def update(self, params: Tensors, state: Tensors, gradients: Tensors, t: int) -> tuple[Tensors, Tensors]:
        update, after = self._inner.update(params, state, gradients, t)
        self._watch.see(after)
        return update, after

    def pull_back(self, params: Tensors, after: Tensors, weights_bar: Tensors, state_bar: Tensors, t: int) -> Pulled:
        return self._inner.pull_back(params, after, weights_bar, state_bar, t)
