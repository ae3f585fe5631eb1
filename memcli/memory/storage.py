"""How the numbers of a memory are stored: as floats, or as small whole numbers with scales. No torch.

A number v of a tensor that is stored in n bits is code · scale, where the code is a whole number in [-levels, levels]
and the scale a float16 that all numbers with the same index along one axis share. With 11 bits of mantissa in a scale
the product is exact in float32, so what is read is bit for bit what was learned from (memcli.memory.quantise).
"""

from dataclasses import dataclass

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1, "I8": 1}  # of one number, by safetensors' names of dtypes


@dataclass(frozen=True)
class Storage:
    """One way to store numbers."""

    dtype: str  # of the stored tensor, as safetensors names it
    bits: int  # of one number
    levels: int = 0  # the largest code; 0: the numbers themselves are stored, without scales


STORAGES = {
    "float32": Storage("F32", 32),
    "float16": Storage("F16", 16),
    "int8": Storage("I8", 8, levels=127),
    "int4": Storage("U8", 4, levels=7),  # two codes in a byte, the first in its low half; each as code + NIBBLE_ZERO
}
NIBBLE_ZERO = 8  # the half byte of code 0; a half byte of 0 is no code, and fills up the last byte
SCALE_DTYPE, LEAST_SCALE = "F16", 2.0**-14  # the least normal float16: below it a scale would lose its precision
SCALE_SUFFIX = "_scale"  # of the name of a tensor's scales
CELLS, CELLS_DTYPE = "cells", "U8"  # the tensor that tells each pixel's cell, in one byte
MOST_CELLS = 256
SCALED_AXIS = {"bases": 0, "addresses": 2, "labels": -2}  # the axis that has scales: bases, bases again, classes
