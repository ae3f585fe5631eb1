"""CutMix: a rectangle of each image of a minibatch comes from another image, and so does as much of its label.

Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019.
"""

import math

import torch
from torch import Tensor

from memcli.seeds import generator


def cut_and_mixed(images: Tensor, labels: Tensor, chance: float, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """With probability `chance`, a minibatch whose images all have the same rectangle from another image each.

    images (n, C, H, W) and labels (n, classes); neither is changed in place. The rectangle's share of the image is
    drawn evenly from [0, 1), its middle from all places; what is beyond the border is left out of both. A pure function
    of its arguments.
    """
    draw = generator(seed, "cutmix", step)
    tossed, share, down, across = torch.rand(4, generator=draw).tolist()
    if tossed >= chance:
        return images, labels
    others = torch.randperm(len(images), generator=draw).to(images.device)
    height, width = images.shape[2:]
    top, bottom = _side(height, down, share)
    left, right = _side(width, across, share)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[others, :, top:bottom, left:right]
    area = (bottom - top) * (right - left) / (height * width)
    return mixed, torch.lerp(labels, labels[others.to(labels.device)], area)


def _side(length: int, place: float, share: float) -> tuple[int, int]:
    """Where a side of the rectangle begins and ends on a line of `length` pixels; `place` of its middle, in [0, 1)."""
    half, middle = length * math.sqrt(share) / 2, length * place
    return max(0, round(middle - half)), min(length, round(middle + half))
