"""The network of incremental CIFAR-100."""

import pytest
import torch

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks import build


def data(side: int, classes: int = 100) -> DataSpec:
    return DataSpec("test", 3, side, side, tuple(map(str, range(classes))), (0.0,) * 3, (1.0,) * 3)


def test_its_layers_are_those_published() -> None:
    network = build("strided", data(32), seed=0)
    shapes = [tuple(parameter.shape) for parameter in network.parameters() if parameter.dim() > 1]
    convolutions = [(160, 3, 3, 3), (160, 160, 3, 3), (160, 160, 3, 3)]
    assert shapes == [*convolutions, (320, 2560), (320, 320), (100, 320)]


def test_odd_sides_are_halved_up_and_small_ones_refused() -> None:
    network = build("strided:channels=4,hidden=8", data(9, 2), seed=0)
    assert network(torch.zeros(1, 3, 9, 9)).shape == (1, 2)
    with pytest.raises(UsageError, match="at least 8x8"):
        build("strided", data(7), seed=0)
