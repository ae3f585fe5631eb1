"""`own`: as the memory's file says."""

from memcli.jobs.protocols.base import Protocol
from memcli.memory.spec import MemorySpec
from memcli.networks import sized
from memcli.training.recipe import TrainRecipe


def recipe(spec: MemorySpec, own: TrainRecipe, network: str) -> TrainRecipe:
    """The file's recipe, which trains a family of networks that it was not found for longer and at a lower rate."""
    return own if network == own.network else own.for_network(sized(network, spec.data))


PROTOCOL = Protocol("as the memory's file says", recipe)
