"""Another way's computation, recorded once as a list of operations and then run without autograd."""

from collections.abc import Callable
from operator import getitem

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from memcli.engine.backends import Backend, Runner, replayed
from memcli.engine.derivatives import Derivatives, Direction, Loss, Products
from memcli.engine.reverse import ReverseOverReverse
from memcli.engine.tensors import Tensors
from memcli.errors import UsageError
from memcli.text import printable

_CONVOLUTION = torch.ops.aten.convolution_backward.default


class Traced(Derivatives):
    """Records what `way` does on the first step that it is given, drops what no result needs, and hands the rest to
    `backend`. Other shapes, types, devices or layouts are recorded anew.

    A recording holds operations on tensors and nothing else: a loss that draws at random, or whose Python code looks
    at numbers, cannot be recorded. The latter raises UsageError; the former is the caller's to avoid. A direction
    that depends on the gradient costs one more gradient.
    """

    def __init__(
        self, loss: Loss, way: Callable[[Loss], Derivatives] = ReverseOverReverse, backend: Backend = replayed
    ) -> None:
        self.loss, self._way, self._backend = loss, way(loss), backend
        self._recorded: dict[tuple[object, ...], Runner] = {}

    def gradient(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensors:
        def gradient(*given: Tensor) -> Tensors:
            weights, moved, seen = _split(given, params, controls, batch)
            return laid_out(self._way.gradient(weights, moved, seen), weights)

        return self._run(gradient, params, controls, batch)

    def products(self, params: Tensors, controls: Tensors, batch: Tensors, direction: Direction) -> Products:
        if callable(direction):
            direction = direction(self.gradient(params, controls, batch))
        direction = laid_out(direction, params)

        def products(*given: Tensor) -> Tensors:
            weights, moved, seen, along = _split(given, params, controls, batch, params)
            found = self._way.products(weights, moved, seen, along)
            return laid_out(found.curvature + found.mixed, weights + moved)

        second = self._run(products, params, controls, batch, direction)
        return Products(direction, second[: len(params)], second[len(params) :])

    def _run(self, function: Callable[..., Tensors], *parts: Tensors) -> Tensors:
        given = tuple(tensor.detach() for part in parts for tensor in part)
        layout = ((t.shape, t.stride(), t.dtype, t.device) for t in given)
        key = (function.__name__, *map(len, parts), *layout)
        if key not in self._recorded:
            self._recorded[key] = self._backend(self._record(function, parts, given), given)
        with torch.no_grad():
            return tuple(self._recorded[key](*given))

    def _record(self, function: Callable[..., Tensors], parts: tuple[Tensors, ...], given: Tensors) -> GraphModule:
        self.loss(parts[0], parts[1], parts[2])  # what it keeps from one call to the next, such as constants, is made outside
        try:
            return pruned(make_fx(function)(*given))
        except RuntimeError as error:
            if "_local_scalar_dense" not in str(error):
                raise
            raise UsageError(
                f"the loss looks at numbers: {printable(str(error).splitlines()[0])}",
                do="Differentiate it with ReverseOverReverse",
            ) from error


def pruned(operations: GraphModule) -> GraphModule:
    """The same without what no result needs: whole operations, and of a convolution's derivatives the unused ones."""
    graph = operations.graph
    graph.eliminate_dead_code()
    for node in graph.nodes:
        if node.target is _CONVOLUTION:
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
