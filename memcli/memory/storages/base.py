"""The interface of storages. No torch at import: `inspect` needs dtypes, shapes and faults only."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


LEAST_SCALE = 2.0**-14  # the least normal float16: below it a scale would lose its precision
NIBBLE_ZERO = 8  # the half byte of code 0; a half byte of 0 is no code, and pads the last byte


@dataclass(frozen=True)
class Storage(ABC):
    """One way to store numbers. Decoded numbers that are encoded again must give the same bytes."""

    dtype: str  # of the stored tensor, as safetensors names it: "F32", "F16", "I8" or "U8"
    bits: int  # of one number; below 8 they lie packed in a row of bytes
    levels: int = 0  # the largest code; 0: the numbers themselves are stored, without scales
    about: str = ""  # a line of the documentation

    def payload_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the stored tensor, from that of the numbers."""
        count = 1
        for side in shape:
            count *= side
        return shape if self.bits >= 8 else (-(-count * self.bits // 8),)

    @abstractmethod
    def encode(self, values: "Tensor", axis: int) -> "tuple[Tensor, Tensor | None]":
        """The stored tensor of `values`, and their scales, float16 (values.shape[axis],), or None where it has none."""

    @abstractmethod
    def decode(self, stored: "Tensor", scales: "Tensor | None", shape: tuple[int, ...], axis: int) -> "Tensor":
        """The numbers of that shape, float32, on the device of `stored`."""

    def fault(self, numbers: "NDArray[numpy.generic]", count: int) -> str:
        """What is wrong with the stored numbers, a flat array that holds `count` values; "" where all is well."""
        del numbers, count
        return ""


@dataclass(frozen=True)
class Floats(Storage):
    """The numbers themselves, as floats; numbers that are not finite are refused for every storage alike."""

    def encode(self, values: "Tensor", axis: int) -> "tuple[Tensor, None]":
        import torch

        del axis
        return values.to({"F32": torch.float32, "F16": torch.float16}[self.dtype]), None

    def decode(self, stored: "Tensor", scales: "Tensor | None", shape: tuple[int, ...], axis: int) -> "Tensor":
        del scales, shape, axis
        return stored.float()
