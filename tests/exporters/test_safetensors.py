"""What safetensors files do beyond the contract."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from memcli.data.spec import DataSpec
from memcli.exporters.base import RecalledChunk
from memcli.exporters.safetensors import Safetensors
from memcli.files import container
from memcli.seeds import generator


def test_the_checksum_and_the_tensors_are_what_both_readers_find(tmp_path: Path) -> None:
    data = DataSpec("toy", 1, 3, 3, ("dog", "cat"), (0.5,), (0.2,))
    images = torch.rand(3, 1, 3, 3, generator=generator(0, "images"))
    asked = torch.tensor([[1.0, 0], [0.3, 0.7], [0, 1]])
    chunk = RecalledChunk(images, torch.arange(3), asked, asked)
    Safetensors().export(tmp_path / "out", data, iter([chunk]), 3, force=False, memory_sha256="ab")
    manifest, ours = container.read(tmp_path / "out", kind="recalled")  # it verifies the checksum
    theirs = load_file(tmp_path / "out")
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name])
    assert torch.equal(ours["images"], images)
    assert ours["labels"].tolist() == [0, -1, 1]
    told = {"kind": "recalled", "data": data.to_json(), "memory_sha256": "ab"}
    assert container.write(tmp_path / "again", ours, told, force=False) == manifest["sha256"]
