"""`permutations` and `many`: every task permutes the pixels, each in another order.

Kirkpatrick et al., PNAS 2017, as used by GEM, MER and La-MAML (see rotations.py): 20 tasks of 1,000 training images
and a memory of 200 images; and `many`, 100 tasks of 200 images and a memory of 500.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from memcli.continual.tasks.base import Benchmark, Stream, sizes, transformed
from memcli.data.images import LabelledImages
from memcli.data.sources.base import Source
from memcli.seeds import generator


def permutation(pixels: int, seed: int, task: int) -> Tensor:
    """For each pixel of the task's images the pixel that it is taken from, (pixels,) int64."""
    return torch.randperm(pixels, generator=generator(seed, "pixels", task))


def _opener(name: str, usage: str, **defaults: int) -> Callable[[str, Source, int], Stream]:
    def open_permutations(rest: str, source: Source, seed: int) -> Stream:
        size = sizes(rest, usage, **defaults)
        orders = [permutation(math.prod(source.shape), seed, task) for task in range(size["tasks"])]

        def permuted(images: LabelledImages, number: int) -> LabelledImages:
            pixels = images.whole()
            moved = pixels.flatten(1)[:, orders[number]].view_as(pixels)
            return LabelledImages(moved, images.labels)

        floats = size["memory"] * math.prod(source.shape)
        return transformed(name, source, permuted, tasks=size["tasks"], images=size["images"], floats=floats, seed=seed)

    return open_permutations


def _benchmark(name: str, about: str, **defaults: int) -> Benchmark:
    usage = f"{name}[:{','.join(f'{key}={value}' for key, value in defaults.items())}]"
    return Benchmark(name, usage, about, _opener(name, usage, **defaults))


PERMUTATIONS = _benchmark(
    "permutations", "a fixed permutation of the pixels for each task", tasks=20, images=1000, memory=200
)
MANY = _benchmark("many", "the same with many tasks of few images", tasks=100, images=200, memory=500)
