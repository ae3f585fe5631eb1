"""The derivatives of a mean over a minibatch, some items at a time: less memory, and the same to rounding."""

from collections.abc import Callable, Sequence
from functools import reduce

from memcli.engine.derivatives.base import Derivatives, Direction, Products, along
from memcli.engine.tensors import Tensors, added, scaled

Cut = Callable[[Tensors], Sequence[tuple[float, Tensors]]]  # a batch -> its pieces, each with its share of the items


class InPieces(Derivatives):
    """Those of `way`, added over the pieces of each batch, whose shares add up to 1.

    All derivatives are linear in the loss, so this holds for every loss that is the mean over a batch of losses that
    depend on one item each; not for a network that normalises over the batch. A direction that depends on the gradient
    costs one more gradient.
    """

    def __init__(self, way: Derivatives, cut: Cut) -> None:
        self.loss, self._way, self._cut = way.loss, way, cut

    def gradient(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensors:
        parts = (scaled(self._way.gradient(params, controls, piece), share) for share, piece in self._cut(batch))
        return reduce(added, parts)

    def products(self, params: Tensors, controls: Tensors, batch: Tensors, direction: Direction) -> Products:
        if callable(direction):
            direction = along(direction, self.gradient(params, controls, batch))
        count, held = len(params), direction

        def both(share: float, piece: Tensors) -> Tensors:
            products = self._way.products(params, controls, piece, held)
            return scaled(products.curvature + products.mixed, share)

        second = reduce(added, (both(share, piece) for share, piece in self._cut(batch)))
        return Products(direction, second[:count], second[count:])
