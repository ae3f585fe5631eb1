"""float32: the numbers as they are learned."""

from memcli.memory.storages.base import Floats

STORAGE = Floats("F32", 32)
