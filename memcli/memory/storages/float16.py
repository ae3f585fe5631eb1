"""float16: half the bytes, 11 bits of mantissa."""

from memcli.memory.storages.base import Floats

STORAGE = Floats("F16", 16)
