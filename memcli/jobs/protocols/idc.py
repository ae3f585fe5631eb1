"""`idc`: 1,000 epochs of all images in minibatches of 64, with the augmentation DSA and with CutMix.

SGD at rate 0.01 with momentum 0.9 and weight decay 0.0005; a fifth of the rate after two thirds of the epochs, and a
fifth of that after five sixths. An image is flipped, then one of shift, scale and rotate, then given other colours; a
minibatch in two is cut and mixed. Digits are not flipped. As in the released evaluation of Kim et al., "Dataset
Condensation via Efficient Synthetic-Data Parameterization", ICML 2022, arXiv 2205.14959, for images of up to 32 pixels
(github.com/snu-mllab/Efficient-Dataset-Condensation: argument.py, train.py, augment.py). There the last network is
shown beside the best one on test images; here it is the last.
"""

import math

from memcli.jobs.protocols.base import Protocol
from memcli.memory.spec import MemorySpec
from memcli.networks import sized
from memcli.training.recipe import MOST, TrainRecipe

_EPOCHS, _BATCH, _RATE, _MOMENTUM, _WEIGHT_DECAY, _DROP, _CUTMIX = 1000, 64, 0.01, 0.9, 5e-4, 0.2, 0.5
_DIGITS = list("0123456789")


def recipe(spec: MemorySpec, own: TrainRecipe, network: str) -> TrainRecipe:
    """The same for every file, but for flips; at most as many steps as a recipe may have."""
    batch = min(_BATCH, spec.recalled)
    steps = min(_EPOCHS * math.ceil(spec.recalled / batch), int(MOST["steps"]))
    flips = [name[:1] for name in spec.data.classes] != _DIGITS
    return TrainRecipe(
        network if network == own.network else sized(network, spec.data),
        steps=steps,
        batch=batch,
        lr=_RATE,
        momentum=_MOMENTUM,
        augment="flip,warp,colour" if flips else "warp,colour",
        drop=_DROP,
        weight_decay=_WEIGHT_DECAY,
        cutmix=_CUTMIX,
        sampled=True,
    )


PROTOCOL = Protocol("the evaluation of IDC: 1,000 epochs, augmented and with CutMix", recipe, epochs=_EPOCHS)
