"""int8: codes from -127 to 127, one in a byte."""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from memcli.memory.storages.coded import Codes


@dataclass(frozen=True)
class Int8(Codes):
    """One code in a byte; -128 is no code."""

    def fault(self, numbers: NDArray[numpy.generic], count: int) -> str:
        del count
        return "the code -128" if (numbers == -128).any() else ""


STORAGE = Int8("I8", 8, levels=127, about="whole numbers from -127 to 127, a byte each, times a scale of their group")
