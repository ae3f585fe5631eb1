"""`rotations`: every task turns the images by an angle of its own.

GEM (Lopez-Paz & Ranzato, NeurIPS 2017) as used by MER (Riemer et al., ICLR 2019) and La-MAML (Gupta et al., NeurIPS
2020): 20 tasks between 0 and 180 degrees, 1,000 training images each, a memory of 200 images.
"""

import torch
from torchvision.transforms.functional import rotate

from memcli.continual.tasks.base import Benchmark, Stream, sizes, transformed
from memcli.data.images import LabelledImages
from memcli.data.sources.base import Source
from memcli.seeds import generator

_USAGE = "rotations[:tasks=20,images=1000,memory=200]"
_RANGE = 180.0  # degrees


def angles(tasks: int, seed: int) -> list[float]:
    """Task t's angle in degrees, uniform in [180 t / tasks, 180 (t + 1) / tasks)."""
    share = torch.rand(tasks, generator=generator(seed, "angles"), dtype=torch.float64)
    degrees: list[float] = ((torch.arange(tasks) + share) * _RANGE / tasks).tolist()
    return degrees


def open_rotations(rest: str, source: Source, seed: int) -> Stream:
    size = sizes(rest, _USAGE, tasks=20, images=1000, memory=200)
    turned_by = angles(size["tasks"], seed)

    def turned(images: LabelledImages, number: int) -> LabelledImages:
        """Nearest neighbour, anticlockwise about the centre, and black where there was no pixel."""
        return LabelledImages(rotate(images.whole(), turned_by[number]), images.labels)

    floats = size["memory"] * source.shape[0] * source.shape[1] * source.shape[2]
    return transformed(
        "rotations", source, turned, tasks=size["tasks"], images=size["images"], floats=floats, seed=seed
    )


BENCHMARK = Benchmark(
    "rotations", _USAGE, "task t turns the images by a fixed angle between 9t and 9(t+1) degrees", open_rotations
)
