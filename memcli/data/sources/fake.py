"""`fake:`: synthetic images that a network can learn, for smoke tests: no files and no network are needed."""

import math

import torch

from memcli import seeds
from memcli.data.images import LabelledImages
from memcli.data.sources.base import Request, Shape, Source, SourceKind
from memcli.errors import UsageError
from memcli.text import parse_call, printable, whole_number

_DEFAULTS = {"n": "512", "test": "128", "classes": "10", "shape": "3x32x32", "seed": "0"}
_MOST_VALUES = 1 << 28  # pixel values in a split: they are made as floats, 1 GiB
_CONTRAST, _NOISE = 50.0, 25.0  # grey levels: standard deviations of the class patterns and of the noise


def open_fake(rest: str, _: Request) -> Source:
    """Each class is a smooth random pattern, each image its class's pattern plus noise. The same text, the same data.

    Settings: n and test (images in each split, taking the classes in turn), classes, shape (CxHxW), seed.
    """
    settings = parse_call(f"fake:{rest}")[1]
    if unknown := settings.keys() - _DEFAULTS:
        raise UsageError(
            f"fake has no setting {printable(', '.join(sorted(unknown)))!r}", do=f"Choose from {', '.join(_DEFAULTS)}"
        )
    settings = _DEFAULTS | settings
    classes = whole_number(settings["classes"], "classes of fake", most=1000)
    counts = {
        "train": whole_number(settings["n"], "n of fake", least=classes),
        "test": whole_number(settings["test"], "test of fake"),
    }
    shape = _shape(settings["shape"])
    seed = whole_number(settings["seed"], "seed of fake", least=0, most=2**31)
    if max(counts.values()) * math.prod(shape) > _MOST_VALUES:
        raise UsageError("so much fake data is not made", do="Give a smaller n, test or shape")

    def load(split: str) -> LabelledImages:
        labels = torch.arange(counts[split]) % classes
        coarse = torch.randn(classes, shape[0], 4, 4, generator=seeds.generator(seed, "fake patterns"))
        patterns = torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear")
        noise = torch.randn(len(labels), *shape, generator=seeds.generator(seed, f"fake {split}"))
        pixels = 127.5 + _CONTRAST * patterns[labels] + _NOISE * noise  # (N, C, H, W)
        return LabelledImages(pixels.round().clamp(0, 255).to(torch.uint8), labels)

    return Source("fake", tuple(map(str, range(classes))), shape, load)


def _shape(text: str) -> Shape:
    sides = text.split("x")
    if len(sides) != 3:
        raise UsageError(f"shape of fake is {printable(text)!r}", do="Write it as CxHxW, such as 3x32x32")
    channels, height, width = (
        whole_number(side, "shape of fake", most=most) for side, most in zip(sides, (16, 512, 512), strict=True)
    )
    return channels, height, width


SOURCE = SourceKind(open_fake, "n=512,test=128,classes=10,shape=3x32x32,seed=0: synthetic, for smoke tests")
