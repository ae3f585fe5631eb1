"""float16: 2 bytes a number."""

from memcli.memory.storages.base import Floats

STORAGE = Floats("F16", 16, about="floats with 11 bits of mantissa, in 2 bytes each")
