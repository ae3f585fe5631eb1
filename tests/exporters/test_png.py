"""What PNG folders do beyond the contract."""

import json
from pathlib import Path

import pytest
import torch
from torchvision.datasets import ImageFolder

from memcli.data.sources import open_source
from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.exporters.base import RecalledChunk
from memcli.exporters.png import Png


def data(channels: int = 1, classes: tuple[str, ...] = ("cat", "dog")) -> DataSpec:
    return DataSpec("toy", channels, 4, 4, classes, (0.5,) * channels, (0.2,) * channels)


def test_the_folder_is_read_back_by_imagefolder(tmp_path: Path) -> None:
    images = torch.linspace(0, 1, 10 * 16).reshape(10, 1, 4, 4)
    labels = torch.eye(2)[torch.tensor([0, 1] * 5)]
    both = torch.full((1, 2), 0.5)
    mixture = RecalledChunk(torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, dtype=torch.int64), both, both)
    hard = RecalledChunk(images, torch.arange(10) // 2, labels, labels)
    Png().export(tmp_path / "out", data(), iter([hard, mixture]), 11, force=False)
    source = open_source(f"imagefolder:{tmp_path / 'out'}")
    assert source.classes == ("cat", "dog")
    assert source.shape == (1, 4, 4)
    read = torch.cat([source.split("train").images, source.split("test").images])
    assert {tuple(image.flatten().tolist()) for image in read} == {
        tuple((image * 255).round().flatten().int().tolist()) for image in images
    }


def test_the_manifest_tells_the_data_set_and_the_folders(tmp_path: Path) -> None:
    spec = data(classes=("cat", "a/b"))
    chunk = RecalledChunk(torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64), torch.eye(2), torch.eye(2))
    Png().export(tmp_path / "out", spec, iter([chunk]), 2, force=False)
    manifest = json.loads((tmp_path / "out" / "memcli.json").read_text())
    assert manifest["images"] == 2
    assert DataSpec.from_json(manifest["data"]) == spec
    assert manifest["folders"] == {"cat": "cat", "a/b": "class-0001"}
    assert (tmp_path / "out" / "train" / "class-0001" / "00000.png").is_file()


def test_channels_that_png_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"these have 4\. Use `format` npz"):
        Png().export(tmp_path / "out", data(4), iter([]), 1, force=False)
    assert not (tmp_path / "out").exists()


def test_a_mixture_has_a_folder_that_tells_it(tmp_path: Path) -> None:
    asked = torch.tensor([[0.7, 0.3], [0.7, 0.3], [-1, 0.5], [0.70001, 0.3], [0, 0]])
    chunk = RecalledChunk(torch.zeros(5, 1, 4, 4), torch.arange(5), asked, asked)
    Png().export(tmp_path / "out", data(), iter([chunk]), 5, force=False)
    told = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert [name.removeprefix("mixture/") for name in told] == [
        *("cat-0.7+dog-0.3/00000.png", "cat-0.7+dog-0.3/00001.png", "cat--1+dog-0.5/00000.png"),
        *("query-00002/00000.png", "query-00003/00000.png"),
    ]
    assert len(ImageFolder(tmp_path / "out" / "mixture").classes) == 4
