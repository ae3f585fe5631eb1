"""Storages of small whole numbers with scales. No torch at import."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from memcli.memory.storages.base import Storage

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Codes(Storage):
    """Whole numbers in [-levels, levels], each times the scale that it shares with its group."""

    def encode(self, values: "Tensor", axis: int) -> "tuple[Tensor, Tensor | None]":
        from memcli.memory.storages.codes import quantise

        return quantise(values, self.levels, axis)

    def decode(self, stored: "Tensor", scales: "Tensor | None", shape: tuple[int, ...], axis: int) -> "Tensor":
        from memcli.memory.storages.codes import dequantise

        assert scales is not None, "codes have scales"
        return dequantise(stored.reshape(shape), scales, axis)
