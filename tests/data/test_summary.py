"""What stands at the beginning of a run: classes, images of each, sizes, and test images that are in train."""

import dataclasses

import pytest
import torch

from memcli.data.images import LabelledImages
from memcli.data.sources.base import Source
from memcli.data.summary import summary
from memcli.errors import DataError


def source_of(train: list[int], test: list[int], first: int = 200) -> Source:
    """Images of one grey level each: those of train from 0 on, those of test from `first` on."""

    def load(split: str) -> LabelledImages:
        labels, start = (train, 0) if split == "train" else (test, first)
        levels = torch.arange(start, start + len(labels), dtype=torch.uint8)
        return LabelledImages(levels.view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous(), torch.tensor(labels))

    return Source("pets", ("cat", "dog"), (1, 2, 2), load)


def test_images_of_each_class_are_counted_in_train_validation_and_test() -> None:
    told = summary(source_of([0] * 20 + [1] * 10, [0, 1, 1]), seed=0)
    assert told.images == {"train": (18, 9), "validation": (2, 1), "test": (1, 2)}
    assert told.imbalance == 2.0
    assert told.lines() == [
        ("classes", "2: 'cat', 'dog'"),
        ("images", "train 27 (9 to 18 of each), validation 3 (1 to 2 of each), test 3 (1 to 2 of each)"),
        ("size", "1x2x2 (channels, height, width)"),
        ("uneven", "'cat' has 18 images and 'dog' 9"),
    ]
    assert summary(source_of([0, 1] * 5, [0, 1]), seed=0, holdout=0).images == {"train": (5, 5), "test": (1, 1)}


def test_test_images_that_are_in_train_are_counted() -> None:
    told = summary(source_of([0, 1] * 5, [0, 1, 0], first=8), seed=0)
    assert told.duplicates == 2
    assert ("duplicates", "2 test images are in train too, pixel by pixel") in told.lines()


def test_one_image_of_each_class_leaves_none_to_validate() -> None:
    assert summary(source_of([0, 1], [0, 1]), seed=0).images == {"train": (1, 1), "test": (1, 1)}


def test_a_source_of_a_test_split_alone_and_its_losses_are_told() -> None:
    source = dataclasses.replace(
        source_of([], [0, 1, 1]), splits=("test",), sizes="images of 9x9 are stretched", left_out=lambda: ("a.png",)
    )
    told = summary(source, seed=0)
    assert (told.images, told.duplicates) == ({"test": (1, 2)}, None)
    assert ("size", "1x2x2 (channels, height, width); images of 9x9 are stretched") in told.lines()
    assert ("left out", "1 damaged images: 'a.png'") in told.lines()


def test_a_test_split_that_cannot_be_read_is_told_and_train_must_be() -> None:
    source = source_of([0, 1], [0, 7])
    assert ("test", "cannot be read: the test split has label 7, with 2 classes") in summary(source, seed=0).lines()
    with pytest.raises(DataError, match="label 7"):
        summary(source_of([0, 7], [0, 1]), seed=0)
