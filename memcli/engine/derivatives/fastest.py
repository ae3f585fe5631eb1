"""The fastest of several ways to the second-order products, by measurement."""

import time
from collections.abc import Callable, Sequence

import torch

from memcli.engine.derivatives.base import Derivatives, Direction, Loss, Products, training_gradient
from memcli.engine.derivatives.forward import ForwardOverReverse
from memcli.engine.derivatives.reverse import ReverseOverReverse
from memcli.engine.tensors import Tensors
from memcli.errors import UsageError

_RUNS = 3  # timed runs of each, after one that is not: enough for their minimum to show a difference of a tenth


class Fastest(Derivatives):
    """Times all `ways` on the first step that it is given, and stays with the winner for this object's life.

    The ways may be traced and compiled ones; by default they are the two products, run by autograd. Another device,
    other shapes or another kind of direction are measured anew. A way that raises UsageError, because a forward
    derivative or a compiler is missing, is not chosen. The ways agree to rounding only, so two runs that choose
    differently differ in the last bits: pass a single way where every bit must come again.
    """

    def __init__(
        self, loss: Loss, ways: Sequence[Callable[[Loss], Derivatives]] = (ReverseOverReverse, ForwardOverReverse)
    ) -> None:
        self.loss = loss
        self._ways = tuple(way(loss) for way in ways)
        self._chosen: dict[tuple[object, ...], Derivatives] = {}

    def gradient(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensors:
        return training_gradient(self.loss, params, controls, batch)

    def products(self, params: Tensors, controls: Tensors, batch: Tensors, direction: Direction) -> Products:
        return self.choice(params, controls, batch, direction).products(params, controls, batch, direction)

    def choice(self, params: Tensors, controls: Tensors, batch: Tensors, direction: Direction) -> Derivatives:
        """The way that is used for arguments of this layout; measured on these if the layout is new."""
        layout = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in (*params, *controls, *batch))
        key = (callable(direction), len(params), len(controls), *layout)
        if key not in self._chosen:
            self._chosen[key] = min(self._ways, key=lambda way: _seconds(way, params, controls, batch, direction))
        return self._chosen[key]


def _seconds(way: Derivatives, params: Tensors, controls: Tensors, batch: Tensors, direction: Direction) -> float:
    """The least time of one call; infinite where the way raises UsageError."""
    times = []
    for _ in range(1 + _RUNS):
        _finish(params[0].device)
        began = time.perf_counter()
        try:
            way.products(params, controls, batch, direction)
        except UsageError:
            return float("inf")
        _finish(params[0].device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def _finish(device: torch.device) -> None:
    """Wait until the device has finished, so that the clock measures all of its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
