"""Values as 8-bit numbers and back, by memcli and by torchvision."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from memcli.data.spec import DataSpec
from memcli.exporters.base import RecalledChunk
from memcli.exporters.encoding import Encoding
from memcli.exporters.png import Png
from memcli.seeds import generator


def images(channels: int) -> Tensor:
    """Values from about -4 to 5, wider in the later channels."""
    drawn = torch.randn(6, channels, 4, 5, generator=generator(0, "encoding"))
    return drawn * torch.arange(1, channels + 1).view(-1, 1, 1) * 0.5 + 0.5


def data(channels: int) -> DataSpec:
    return DataSpec("toy", channels, 4, 5, ("cat", "dog"), (0.5,) * channels, (0.2,) * channels)


def write(path: Path, channels: int, encoding: Encoding) -> Tensor:
    given = images(channels)
    labels = torch.eye(2)[torch.tensor([0, 0, 0, 1, 1, 1])]
    chunk = RecalledChunk(given, torch.arange(6) % 3, labels, labels)
    Png(encoding).export(path, data(channels), iter([chunk]), 6, force=False)
    return given


def test_a_range_holds_every_value_of_every_piece() -> None:
    given = images(3)
    found = Encoding.range(given.split(2))
    for channel in range(3):
        values = given[:, channel]
        assert found.low[channel] <= values.min() < found.low[channel] + 0.001
        assert found.high[channel] - 0.001 < values.max() <= found.high[channel]
    assert len(set(found.low)) == 3, "the channels have ranges of their own"
    assert Encoding.range([torch.zeros(1, 1, 2, 2)]).high == (0.001,), "a constant has a range that can be inverted"


def test_clip_is_the_nearest_step_of_zero_to_one() -> None:
    given = torch.tensor([-1.0, 0, 0.4, 0.5, 1, 3]).view(1, 1, 2, 3)
    assert Encoding.clip(1).to_bytes(given).flatten().tolist() == [0, 0, 102, 128, 255, 255]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("package", ["torchvision.transforms.v2", "torchvision.transforms"])
def test_the_transforms_of_the_folder_give_imagefolder_the_values(channels: int, package: str, tmp_path: Path) -> None:
    encoding = Encoding.range([images(channels)])
    wanted = write(tmp_path / "out", channels, encoding)
    line = json.loads((tmp_path / "out" / "memcli.json").read_text())["transforms"][package]
    transform = eval(line, {"torch": torch, "v2": v2, "transforms": transforms})
    found = ImageFolder(tmp_path / "out" / "train", transform)
    assert [label for _, label in found] == [0, 0, 0, 1, 1, 1]
    for channel in range(channels):
        read = torch.stack([image for image, _ in found])[:, channel]
        half_a_step = (encoding.high[channel] - encoding.low[channel]) / 510
        assert (read - wanted[:, channel]).abs().max() <= half_a_step + 1e-5
        assert half_a_step < 0.02


@pytest.mark.parametrize("channels", [1, 3])
def test_the_transforms_of_clipped_pictures_give_pixels(channels: int, tmp_path: Path) -> None:
    wanted = write(tmp_path / "out", channels, Encoding.clip(channels)).clamp(0, 1)
    line = json.loads((tmp_path / "out" / "memcli.json").read_text())["transforms"]["torchvision.transforms.v2"]
    found = ImageFolder(tmp_path / "out" / "train", eval(line, {"torch": torch, "v2": v2}))
    assert (torch.stack([image for image, _ in found]) - wanted).abs().max() <= 1 / 510 + 1e-6


def test_the_folder_tells_the_formula_s_numbers(tmp_path: Path) -> None:
    encoding = Encoding("range", (-1.5,), (2.25,))
    write(tmp_path / "out", 1, encoding)
    told = json.loads((tmp_path / "out" / "memcli.json").read_text())["encoding"]
    assert told == {"name": "range", "low": [-1.5], "high": [2.25]}
