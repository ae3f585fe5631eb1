"""timm's models: what is adapted, what is refused, and that nothing is fetched."""

import sys

import pytest
import torch

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.networks import build

needs_timm = pytest.mark.usefixtures("timm")


@pytest.fixture(name="timm")
def _timm() -> object:
    return pytest.importorskip("timm", reason="needs timm, which the extra `timm` installs")


def spec(channels: int, height: int, width: int) -> DataSpec:
    return DataSpec("test", channels, height, width, ("a", "b", "c"), (0.0,) * channels, (1.0,) * channels)


@needs_timm
@pytest.mark.parametrize("data", [spec(1, 8, 8), spec(3, 28, 56), spec(3, 96, 64)], ids=lambda data: str(data.shape))
@pytest.mark.parametrize("name", ["timm:test_vit", "timm:test_convnext"])
def test_a_transformer_is_made_for_the_size_of_the_images(name: str, data: DataSpec) -> None:
    network = build(name, data, seed=0).eval()
    with torch.no_grad():
        assert network(torch.ones(2, *data.shape)).shape == (2, 3)


@needs_timm
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet9000", "timm has no model 'resnet9000'. Choose one of timm.list_models"),
        ("", "timm has no model ''"),
        ("resnet18.a1_in1k", "timm has no model 'resnet18.a1_in1k'"),
        ("hf-hub:timm/resnet18.a1_in1k", "timm has no model 'hf-hub:timm"),
        ("inception_v3", "timm:inception_v3 refuses 3x32x32 images: .*Choose another, such as timm:resnet18"),
    ],
)
def test_models_that_do_not_classify_such_images_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(f"timm:{name}", spec(3, 32, 32), seed=0)


@needs_timm
def test_a_transformer_that_cannot_be_made_for_the_size_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"timm:nest_tiny cannot be made for 3x100x70 images: .* square.*Choose another"
    ):
        build("timm:nest_tiny", spec(3, 100, 70), seed=0)


@needs_timm
def test_two_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="timm's models take 1 or 3 channels, and these images have 2"):
        build("timm:resnet18", spec(2, 32, 32), seed=0)


def test_a_missing_timm_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"timm cannot be used.*pip install 'memcli\[timm\]'"):
        build("timm:resnet18", spec(3, 32, 32), seed=0)
