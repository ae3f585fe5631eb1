"""int4: codes from -7 to 7, two in a byte, the first in its low half; each as code + 8. A half byte of 0 pads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy
from numpy.typing import NDArray

from memcli.memory.storages.coded import Codes

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Int4(Codes):
    """Two codes in a byte."""

    def encode(self, values: "Tensor", axis: int) -> "tuple[Tensor, Tensor | None]":
        from memcli.memory.storages.codes import pack

        codes, scales = super().encode(values, axis)
        return pack(codes), scales

    def decode(self, stored: "Tensor", scales: "Tensor | None", shape: tuple[int, ...], axis: int) -> "Tensor":
        from memcli.memory.storages.codes import unpack

        return super().decode(unpack(stored, shape), scales, shape, axis)

    def fault(self, numbers: NDArray[numpy.generic], count: int) -> str:
        packed = numbers.astype(numpy.uint8)
        halves = numpy.stack([packed & 15, packed >> 4], 1).flatten()
        return "half bytes" if (halves[:count] == 0).any() or halves[count:].any() else ""


STORAGE = Int4("U8", 4, levels=7, about="whole numbers from -7 to 7, two in a byte, times a scale of their group")
