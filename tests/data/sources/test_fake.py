"""Synthetic images."""

import pytest
import torch

from memcli.data.sources import open_source
from memcli.errors import UsageError


def test_settings_are_obeyed() -> None:
    source = open_source("fake:n=30,test=7,classes=3,shape=1x6x8,seed=4")
    assert source.split("train").images.shape == (30, 1, 6, 8)
    assert len(source.split("test")) == 7
    assert torch.bincount(source.split("train").labels).tolist() == [10, 10, 10]
    other = open_source("fake:n=30,test=7,classes=3,shape=1x6x8,seed=5")
    assert other.fingerprint != source.fingerprint


def test_classes_can_be_told_apart_by_their_mean_image() -> None:
    source = open_source("fake:")
    train, test = source.split("train"), source.split("test")
    flat = train.normalised(source.spec).flatten(1)
    centres = torch.stack([flat[train.labels == label].mean(0) for label in range(10)])
    nearest = torch.cdist(test.normalised(source.spec).flatten(1), centres).argmin(1)
    assert (nearest == test.labels).float().mean() > 0.95


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("m=5", "fake has no setting 'm'"),
        ("n=5", "n of fake is '5'"),
        ("classes=0", "classes of fake is '0'"),
        ("test=0", "test of fake is '0'"),
        ("seed=-1", "seed of fake is '-1'"),
        ("shape=32x32", "shape of fake is '32x32'"),
        ("shape=3x0x4", "shape of fake is '0'"),
        ("n=100000,shape=3x512x512", "so much fake data is not made"),
    ],
)
def test_impossible_settings_are_refused(rest: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(f"fake:{rest}")
