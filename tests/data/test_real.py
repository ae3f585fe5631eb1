"""Minibatches of real images: only what is sampled is gathered, of classes in turn."""

import torch

from memcli.data.images import LabelledImages
from memcli.data.real import RealImages
from memcli.data.spec import DataSpec
from memcli.seeds import generator

CPU = torch.device("cpu")
CLASSES = 6
COUNTS = torch.tensor([1, 9, 4, 30, 2, 14])  # images of each class
SPEC = DataSpec("numbers", 1, 1, 1, tuple(map(str, range(CLASSES))), (0.0,), (1.0,))


def numbered() -> LabelledImages:
    """Images whose one pixel is their number, in a mixed order of classes."""
    labels = torch.arange(CLASSES).repeat_interleave(COUNTS)
    labels = labels[torch.randperm(len(labels), generator=generator(0, "order"))]
    return LabelledImages(torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1), labels)


def test_as_many_images_of_every_class_are_drawn_as_they_always_were() -> None:
    """Runs of ten classes are what they were: this is how images were drawn before classes could be sampled."""
    images = numbered()
    draws = torch.rand(CLASSES, 5, generator=generator(3, "real", 7))
    of_class = [(images.labels == label).nonzero().flatten() for label in range(CLASSES)]
    wanted = [own[(row * len(own)).long()] for own, row in zip(of_class, draws, strict=True)]
    found, labels = RealImages(images, SPEC, CPU).batch(5, 3, 7)
    assert torch.equal((255 * found).round().long().flatten(), torch.cat(wanted))
    assert torch.equal(labels, torch.arange(CLASSES).repeat_interleave(5))


def test_fewer_images_than_classes_are_of_classes_in_turn() -> None:
    images = numbered()
    real = RealImages(images, SPEC, CPU)
    seen = []
    for step in range(3 * CLASSES):
        found, labels = real.sample(4, 0, step)
        assert found.shape == (4, 1, 1, 1)
        assert torch.equal(images.labels[(255 * found).round().long().flatten()], labels)
        seen.append(labels)
        assert torch.equal(found, RealImages(images, SPEC, CPU).sample(4, 0, step)[0])
    assert torch.equal(torch.cat(seen).bincount(), torch.full((CLASSES,), 12))
