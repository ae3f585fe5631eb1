"""The measure of formats: each is read as its users would, and trained on alike."""

import json
from pathlib import Path

import formats
import pytest
import torch
from memories import artifact

import memcli
from memcli.files import memoryfile


def test_every_format_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = artifact(("0", "1", "2"), channels=1)
    memoryfile.write(tmp_path / "m.safetensors", given, force=False)
    source = "fake:classes=3,shape=1x8x8,n=30,test=30"
    formats.main([str(tmp_path / "m.safetensors"), source, "--runs", "2", "--network", "mlp:width=8"])
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found.keys() == formats.FORMATS.keys()
    for name, told in found.items():
        assert len(told["accuracies"]) == printed.err.count(name) == 2
        assert told["outside"] > 0.01
        assert told["bytes"] > 0


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_pictures_is_read_as_the_memory_s_classes(channels: int, tmp_path: Path) -> None:
    given = artifact(("zebra", "a/b", "cat"), channels=channels)
    memcli.recall(given, tmp_path / "range", encode="range")
    images, labels = formats.read_folder(tmp_path / "range")
    wanted, asked = given.recall()
    order = labels.argsort(stable=True)
    assert torch.equal(labels[order], asked.argmax(1))
    assert (images[order][:, :channels] - wanted).abs().max() < 0.02
