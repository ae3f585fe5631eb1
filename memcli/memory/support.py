"""Which bases each row of sparse addresses uses, as a file holds it: whole numbers of ⌈log2 K⌉ bits, without gaps.

No torch at import: `inspect` needs the checks only.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy
from numpy.typing import NDArray

from memcli.memory.spec import MemorySpec

if TYPE_CHECKING:
    from torch import Tensor

_PIECE = 1 << 16  # numbers that are unpacked at once, about: a bit takes a byte then


def packed_support(support: "Tensor", spec: MemorySpec) -> "Tensor":
    """The bits of `support`, (R, classes, k): the lowest first, in bytes that fill from their lowest bit; the last
    byte is filled up with 0. uint8 (⌈n · bits / 8⌉,).
    """
    import torch

    places = torch.arange(spec.index_bits)
    bits = (support.cpu().flatten().unsqueeze(1) >> places) & 1
    return torch.from_numpy(numpy.packbits(bits.to(torch.uint8).numpy(), bitorder="little"))


def unpacked_support(packed: "Tensor", spec: MemorySpec) -> "Tensor":
    """The support in what `packed_support` gave, int64 (R, classes, k)."""
    import torch

    numbers = numpy.concatenate(list(_numbers(packed.numpy(), spec)))
    return torch.from_numpy(numbers).view(spec.shapes["addresses"])


def is_support(numbers: "Tensor", spec: MemorySpec) -> bool:
    """Whether `numbers`, (R, classes, k), are of bases that exist, and ascend in each row."""
    ascending = (numbers[..., 1:] > numbers[..., :-1]).all() and (numbers >= 0).all() and (numbers < spec.bases).all()
    return bool(ascending)


def support_fault(packed: NDArray[numpy.generic], spec: MemorySpec) -> str:
    """What is wrong with the stored bytes of a support; "" where all is well."""
    for numbers in _numbers(packed, spec):
        rows = numbers.reshape(-1, spec.support)
        if (rows[:, 1:] <= rows[:, :-1]).any():
            return "bases that do not ascend in a row"
        if (rows[:, -1] >= spec.bases).any():
            return "numbers of bases that do not exist"
    count = spec.rows * len(spec.data.classes) * spec.support
    spare = -count * spec.index_bits % 8
    return "bits that stand for nothing" if spare and int(packed[-1]) >> (8 - spare) else ""


def _numbers(packed: NDArray[numpy.generic], spec: MemorySpec) -> Iterator[NDArray[numpy.int64]]:
    """The numbers, some whole rows at a time; eight rows begin and end with a byte."""
    rows, bits = spec.rows * len(spec.data.classes), spec.index_bits
    size = 8 * max(1, _PIECE // (8 * spec.support))
    weights = 1 << numpy.arange(bits, dtype=numpy.int64)
    for start in range(0, rows, size):
        count = min(size, rows - start) * spec.support
        begin = start * spec.support * bits // 8
        of_piece = packed[begin : begin + -(-count * bits // 8)].astype(numpy.uint8, copy=False)
        yield numpy.unpackbits(of_piece, count=count * bits, bitorder="little").reshape(count, bits) @ weights
