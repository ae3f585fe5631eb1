"""The computation of another way, recorded once as a list of operations and then run without autograd."""

from collections.abc import Callable
from operator import getitem
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from memcli.engine.compiling.backends import Backend, Runner, replayed
from memcli.engine.compiling.recorded import CONVOLUTION_BACKWARD
from memcli.engine.derivatives.base import Derivatives, Direction, Loss, Products
from memcli.engine.derivatives.reverse import ReverseOverReverse
from memcli.engine.tensors import Tensors, leaves
from memcli.errors import UsageError
from memcli.text import printable


class _Recorder:
    """Records functions of tensors on their first call, one recording for each layout of their arguments."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._recorded: dict[tuple[object, ...], Runner] = {}

    def run(self, loss: Loss, function: Callable[..., Tensors], *parts: Tensors) -> Tensors:
        """function(*all tensors of the parts); `loss` is what it differentiates, a function of the first three."""
        given = tuple(tensor.detach() for part in parts for tensor in part)
        layout = ((t.shape, t.stride(), t.dtype, t.device) for t in given)
        key = (function.__name__, *map(len, parts), *layout)
        if key not in self._recorded:
            loss(
                parts[0], parts[1], parts[2]
            )  # constants that the loss makes at its first call are made outside the recording
            self._recorded[key] = self._backend(_record(function, given), given)
        with torch.no_grad():
            return tuple(self._recorded[key](*given))


def _record(function: Callable[..., Tensors], given: Tensors) -> GraphModule:
    try:
        return pruned(make_fx(function)(*given))
    except RuntimeError as error:
        if "_local_scalar_dense" not in str(error):
            raise
        raise UsageError(
            f"the loss looks at numbers: {printable(str(error).splitlines()[0])}",
            do="Differentiate it with ReverseOverReverse",
        ) from error


class Traced(Derivatives):
    """Records what `way` does on the first step, drops operations that no result needs, and gives the others to
    `backend`. Other shapes, types, devices or layouts are recorded anew.

    A recording holds operations on tensors and nothing else, so a loss must neither draw at random nor let its Python
    code look at numbers. The second raises UsageError; the first is not noticed. A direction that depends on the
    gradient costs one more gradient.
    """

    def __init__(
        self, loss: Loss, way: Callable[[Loss], Derivatives] = ReverseOverReverse, backend: Backend = replayed
    ) -> None:
        self.loss, self._way, self._recorder = loss, way(loss), _Recorder(backend)

    def gradient(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensors:
        def gradient(*given: Tensor) -> Tensors:
            weights, moved, seen = _split(given, params, controls, batch)
            return laid_out(self._way.gradient(weights, moved, seen), weights)

        return self._recorder.run(self.loss, gradient, params, controls, batch)

    def products(self, params: Tensors, controls: Tensors, batch: Tensors, direction: Direction) -> Products:
        if callable(direction):
            direction = direction(self.gradient(params, controls, batch))
        direction = laid_out(direction, params)

        def both(*given: Tensor) -> Tensors:
            weights, moved, seen, along = _split(given, params, controls, batch, params)
            products = self._way.products(weights, moved, seen, along)
            return laid_out(products.curvature + products.mixed, weights + moved)

        second = self._recorder.run(self.loss, both, params, controls, batch, direction)
        return Products(direction, second[: len(params)], second[len(params) :])


class TracedLoss:
    """A loss that records its value and its gradient with respect to the weights together, for `backend` to run.

    Differentiable once, and with respect to the weights only. It can record what `Traced` can.
    """

    def __init__(self, loss: Loss, backend: Backend = replayed) -> None:
        self._loss, self._recorder = loss, _Recorder(backend)

    def __call__(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        """The loss, a scalar."""

        def loss(*given: Tensor) -> Tensors:
            weights, moved, seen = _split(given, params, controls, batch)
            weights = leaves(weights)
            value = self._loss(weights, moved, seen)
            return value.detach(), *laid_out(torch.autograd.grad(value, weights, materialize_grads=True), weights)

        value, *gradient = self._recorder.run(self._loss, loss, params, controls, batch)
        differentiable: Tensor = _Known.apply(value, len(params), *gradient, *params)
        return differentiable


class _Known(torch.autograd.Function):
    """(value, n, n gradients, n weights) -> the value, whose gradient with respect to the weights is known."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, count: int, *tensors: Tensor) -> Tensor:
        ctx.count = count
        ctx.save_for_backward(*tensors[:count])
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, bar: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(None for _ in range(ctx.count)), *(bar * gradient for gradient in ctx.saved_tensors)


def pruned(operations: GraphModule) -> GraphModule:
    """The same without operations, and derivatives of convolutions, that no result needs."""
    graph = operations.graph
    graph.eliminate_dead_code()
    for node in graph.nodes:
        if node.target is CONVOLUTION_BACKWARD:
            used = {user.args[1] for user in node.users if user.target is getitem}
            mask = [asked and place in used for place, asked in enumerate(node.args[-1])]
            node.args = (*node.args[:-1], mask)
    operations.recompile()
    return operations


def laid_out(tensors: Tensors, models: Tensors) -> Tensors:
    """The same numbers with the strides of the `models`, one for each."""
    return tuple(
        tensor if tensor.stride() == model.stride() else torch.empty_like(model).copy_(tensor)
        for tensor, model in zip(tensors, models, strict=True)
    )


def _split(given: Tensors, *models: Tensors) -> list[Tensors]:
    """One tuple for each of the `models`, as long as it is."""
    rest, parts = list(given), []
    for model in models:
        parts.append(tuple(rest[: len(model)]))
        del rest[: len(model)]
    return parts
