"""torchvision's models: what is adapted, what is refused, and that nothing is fetched."""

import sys

import pytest
import torch
import torchvision

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks import build, stateless


def spec(channels: int, height: int, width: int) -> DataSpec:
    return DataSpec("test", channels, height, width, ("a", "b", "c"), (0.0,) * channels, (1.0,) * channels)


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (spec(1, 8, 8), (3, 64, 64)),
        (spec(3, 28, 56), (3, 64, 128)),
        (spec(3, 64, 64), (3, 64, 64)),
        (spec(1, 80, 96), (3, 80, 96)),
    ],
)
def test_gray_is_repeated_and_small_images_are_enlarged(data: DataSpec, seen: tuple[int, ...]) -> None:
    network = build("torchvision:squeezenet1_1", data, seed=0).eval()
    shapes = []
    network.body.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    with torch.no_grad():
        assert network(torch.ones(2, *data.shape)).shape == (2, 3)
    assert shapes == [(2, *seen)]


def test_the_body_is_torchvisions_own_with_statistics_untouched() -> None:
    network = build("torchvision:resnet18", spec(3, 32, 32), seed=0)
    assert type(network.body) is torchvision.models.ResNet
    assert network.body.fc.out_features == 3
    assert network.body.bn1.num_batches_tracked == 0
    assert torch.equal(network.body.bn1.running_mean, torch.zeros(64))


def test_layers_that_drop_at_random_are_not_stateless() -> None:
    network = build("torchvision:convnext_tiny", spec(3, 32, 32), seed=0)
    assert not list(network.buffers())
    assert not stateless(network)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet9000", "no classification model 'resnet9000'"),
        ("", "no classification model ''"),
        ("fasterrcnn_resnet50_fpn", "no classification model 'fasterrcnn"),
        ("googlenet", "torchvision:googlenet gives GoogLeNetOutputs, not one score per class. Choose another"),
        ("maxvit_t", "torchvision:maxvit_t refuses 3x32x32 images: shape.*Choose another"),
    ],
)
def test_models_that_do_not_classify_such_images_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(f"torchvision:{name}", spec(3, 32, 32), seed=0)


def test_two_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="take 1 or 3 channels, and these images have 2"):
        build("torchvision:resnet18", spec(2, 32, 32), seed=0)


def test_a_torchvision_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(UsageError, match=r"torchvision cannot be used.*matches this torch"):
        build("torchvision:resnet18", spec(3, 32, 32), seed=0)
