"""`rtp`: 300 epochs of all recalled images in minibatches of 640, SGD at rate 0.01 with momentum 0.9.

As in the released evaluation of Deng & Russakovsky, NeurIPS 2022, arXiv 2206.02916.
"""

import math

from memcli.jobs.protocols.base import Protocol
from memcli.memory.spec import MemorySpec
from memcli.networks import sized
from memcli.training.recipe import TrainRecipe

_EPOCHS, _BATCH, _RATE, _MOMENTUM = 300, 640, 0.01, 0.9


def recipe(spec: MemorySpec, own: TrainRecipe, network: str) -> TrainRecipe:
    """The same for every file; a memory that recalls fewer images than a minibatch has trains on all of them."""
    batch = min(_BATCH, spec.recalled)
    steps = _EPOCHS * math.ceil(spec.recalled / batch)
    network = network if network == own.network else sized(network, spec.data)
    return TrainRecipe(network, steps=steps, batch=batch, lr=_RATE, momentum=_MOMENTUM)


PROTOCOL = Protocol("the paper's evaluation", recipe)
