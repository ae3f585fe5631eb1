"""Networks are counted without memory for them, and as they are."""

import tracemalloc
from typing import Any

import pytest
import torch
from torch import nn

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks import NETWORKS, build
from memcli.networks.base import Network
from memcli.networks.cost import Cost, cost, counted, sketched

DATA = DataSpec("toy", 3, 32, 32, tuple("0123456789"), (0.5,) * 3, (0.25,) * 3)


def test_the_literatures_convnet() -> None:
    of_convolutions = 2 * 9 * 128 * (3 * 32**2 + 128 * 16**2 + 128 * 8**2)
    outputs = 4 * 128 * (3 * 32**2 + 4 * 16**2 + 4 * 8**2 + 2 * 4**2)
    found = cost("convnet", DATA)
    assert found is not None
    assert (found.parameters, found.operations) == (320_010, of_convolutions + 2 * 128 * 16 * 10)
    assert found.largest == 4 * 128 * 32**2
    assert outputs <= found.outputs <= 1.2 * outputs


@pytest.mark.parametrize("name", ["convnet:width=8", "mlp", "resnet18", "torchvision:regnet_y_400mf"])
def test_a_sketch_has_the_shapes_of_the_network_and_no_numbers(name: str) -> None:
    state, wanted = sketched(name, DATA).state_dict(), build(name, DATA, seed=0).state_dict()
    assert {key: tensor.shape for key, tensor in state.items()} == {key: tensor.shape for key, tensor in wanted.items()}
    with_numbers = sum(p.numel() for p in sketched(name, DATA).parameters() if p.device.type != "meta")
    assert with_numbers < 0.01 * sum(tensor.numel() for tensor in wanted.values()) or with_numbers < 1000


def test_a_network_of_gigabytes_is_counted_in_little_memory() -> None:
    large = DataSpec("toy", 16, 4096, 4096, ("a", "b"), (0.5,) * 16, (0.25,) * 16)
    tracemalloc.start()
    found = cost("mlp:width=4096", large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is not None
    assert found.parameters > 10**12
    assert peak < 50_000_000


def test_a_network_is_counted_and_stays_as_it_is() -> None:
    network = build("convnet:width=8", DATA, seed=0).eval()
    assert counted(network, DATA) == cost("convnet:width=8", DATA)
    assert not any(layer._forward_hooks for layer in network.modules())
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}


def test_a_network_that_computes_with_its_numbers_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reads(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images.flatten(1)) * self.bias.sum().item()

    def known(_: object, name: str) -> Any:
        assert name == "reads"
        return Network("reads", "", lambda data: Reads(data.floats_per_image, len(data.classes)))

    monkeypatch.setattr(type(NETWORKS), "__getitem__", known)
    monkeypatch.setattr(type(NETWORKS), "__contains__", lambda *_: True)
    assert cost("reads", DATA) is None


def test_an_unknown_network() -> None:
    with pytest.raises(UsageError, match="there is no network 'lenet'"):
        cost("lenet", DATA)


def test_counting_moves_no_generator() -> None:
    before = torch.get_rng_state()
    assert isinstance(cost("convnet:width=9", DATA), Cost)
    assert torch.equal(torch.get_rng_state(), before)
