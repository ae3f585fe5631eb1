"""How the numbers of a memory are stored: as floats, or as small whole numbers with scales. No torch.

A number v of a tensor that is stored in n bits is code · scale, where the code is a whole number in [-levels, levels]
and the scale a float16 that all numbers with the same index along one axis share. With 11 bits of mantissa in a scale
the product is exact in float32, so a memory that is read is bit for bit the one that was learned
(memcli.memory.quantise).
"""

from memcli.memory.storages.base import Storage
from memcli.registry import Registry

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "U8": 1, "I8": 1}  # of one number, by safetensors' names of dtypes


STORAGES: Registry[Storage] = Registry(
    "storage",
    "memcli.storages",
    {
        "float32": "memcli.memory.storages.float32:STORAGE",
        "float16": "memcli.memory.storages.float16:STORAGE",
        "int8": "memcli.memory.storages.int8:STORAGE",
        "int4": "memcli.memory.storages.int4:STORAGE",
    },
    "memcli.memory.storages.base:Storage",
)
MOST_NUMBER = 1e9  # in size, of a number that is stored: products of a few of them are finite in float32
SCALE_DTYPE = "F16"
SCALE_SUFFIX = "_scale"  # of the name of a tensor's scales
CELLS, CELLS_DTYPE = "cells", "U8"  # the tensor with each pixel's cell, in one byte
MOST_CELLS = 256
SUPPORT, SUPPORT_DTYPE = "support", "U8"  # the tensor with the bases that each row of addresses uses, in packed bits
MOST_SUPPORT = 256
SCALED_AXIS = {
    "bases": 0,
    "addresses": 2,
    "labels": -2,
}  # the axis with scales: bases, bases, classes
SPARSE_AXIS = 1  # of sparse addresses: classes, since places in a row stand for no basis
