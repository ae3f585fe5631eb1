"""Networks in torch's own layers are the same functions of the same weights."""

import pytest
import torch
from torch import nn

from memcli.data.spec import DataSpec
from memcli.networks import build
from memcli.networks.convolution import Convolution
from memcli.networks.instance_norm import InstanceNorm
from memcli.networks.plain import plain

DATA = DataSpec("test", 3, 12, 10, ("a", "b"), (0.0,) * 3, (1.0,) * 3)
NAMES = ("convnet:width=8", "convnet:width=4,norm=batch", "alexnet", "vgg11", "resnet18", "strided", "mlp:width=8")


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_network_answers_the_same_with_the_same_weights(name: str) -> None:
    network = build(name, DATA, seed=0).eval()
    for parameter in network.parameters():
        parameter.data += 0.01  # so that no scale is one and no shift is zero
    copied = plain(network)
    assert not any(isinstance(module, Convolution | InstanceNorm) for module in copied.modules())
    assert copied.state_dict().keys() == network.state_dict().keys()
    assert not copied.training
    images = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(copied(images), network(images), atol=1e-4, rtol=1e-4)


def test_the_network_itself_stays_as_it_is() -> None:
    network = nn.Sequential(InstanceNorm(2), nn.ReLU())
    plain(network)
    assert isinstance(network[0], InstanceNorm)
