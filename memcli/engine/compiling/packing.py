"""Many tensors as one vector: what an inner step does to all weights is then one operation, not one for each."""

import torch
from torch import Tensor

from memcli.engine.tensors import Tensors

_ALIGNED = 64  # bytes: every tensor begins at a multiple of these, where kernels are quickest


class Packing:
    """Where each of several tensors lies in a vector that holds them all, in the order of their memory.

    Both directions are differentiable, any number of times. The 14 tensors of a ConvNet-3 of width 128 take 320,016
    numbers.
    """

    def __init__(self, like: Tensors) -> None:
        """`like`: tensors of one floating type, of the shapes and strides that are to be packed."""
        unit = _ALIGNED // like[0].element_size()
        self._orders = [_by_stride(tensor) for tensor in like]
        self._shapes = [[t.shape[axis] for axis in order] for t, order in zip(like, self._orders, strict=True)]
        counts = [t.numel() for t in like]
        self._sizes = [size for count in counts for size in (count, -count % unit)]  # each, and the gap behind it

    def packed(self, tensors: Tensors) -> Tensor:
        """The vector; its gaps hold zeros."""
        pieces = []
        for tensor, order, gap in zip(tensors, self._orders, self._sizes[1::2], strict=True):
            pieces += [tensor.permute(order).reshape(-1), tensor.new_zeros(gap)]
        return torch.cat(pieces)

    def unpacked(self, vector: Tensor) -> Tensors:
        """Views of the vector, one for each tensor, laid out in memory as it was."""
        views = []
        for piece, order, shape in zip(vector.split(self._sizes)[::2], self._orders, self._shapes, strict=True):
            views.append(piece.view(shape).permute([order.index(axis) for axis in range(len(order))]))
        return tuple(views)


def _by_stride(tensor: Tensor) -> list[int]:
    """The axes from the one whose neighbours lie farthest apart in memory to the one whose lie closest."""
    return sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
