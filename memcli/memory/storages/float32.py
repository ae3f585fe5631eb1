"""float32: 4 bytes a number."""

from memcli.memory.storages.base import Floats

STORAGE = Floats("F32", 32, about="the numbers as they are learned, in 4 bytes each")
