"""Files are checked to the end: what is whole passes, and each fault has its message."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from memories import artifact
from tiny import write_memory

import memcli
from memcli.errors import LimitError, MemoryFileError
from memcli.files import container, memoryfile
from memcli.files.limits import Limits
from memcli.jobs.verify import Verified, verify


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return write_memory(tmp_path / "m.safetensors")


@pytest.mark.parametrize("full", [False, True])
def test_a_memory_that_is_whole(memory: Path, full: bool) -> None:
    images, _ = memcli.load(memory).recall()
    seen = {"images": 12, "low": images.min().item(), "high": images.max().item()} if full else {}
    sha256 = memcli.inspect(memory).sha256
    assert verify(memory, full) == Verified(memory, "memory", 2, sha256, memory.stat().st_size, **seen)
    assert verify(memory, full, expect_sha256=sha256).sha256 == sha256


@pytest.mark.parametrize("full", [False, True])
def test_the_other_files_of_memcli(memory: Path, tmp_path: Path, full: bool) -> None:
    memcli.retrain(memory, tmp_path / "network", device="cpu")
    memcli.recall(memory, tmp_path / "recalled.safetensors")
    container.write(tmp_path / "checkpoint", {"a": torch.ones(2)}, {"kind": "checkpoint"}, force=False)
    for name in ("network", "recalled.safetensors", "checkpoint"):
        found = verify(tmp_path / name, full)
        assert (found.kind, found.format) == (name.partition(".")[0], 2)
        assert found.sha256 == container.read_header(tmp_path / name).manifest["sha256"]
        with pytest.raises(MemoryFileError, match="was expected"):
            verify(tmp_path / name, full, expect_sha256="0" * 64)


def test_a_file_of_another_kind_and_damage(memory: Path, tmp_path: Path) -> None:
    container.write(tmp_path / "f", {"a": torch.ones(1)}, {"kind": "\x1b[2J"}, force=False)
    with pytest.raises(MemoryFileError, match=r"f: memcli writes no file of kind '\\+x1b\[2J'"):
        verify(tmp_path / "f")
    data = bytearray(memory.read_bytes())
    data[-1] ^= 1
    memory.write_bytes(data)
    with pytest.raises(MemoryFileError, match="the checksum does not match"):
        verify(memory)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(tmp_path: Path, dtype: torch.dtype, value: float) -> None:
    tensors = {"good": torch.arange(3), "b\x1bad": torch.tensor([1.0, value]).to(dtype)}
    container.write(tmp_path / "f", tensors, {"kind": "checkpoint"}, force=False)
    with pytest.raises(MemoryFileError, match=r"f: b\\x1bad holds numbers that are not finite"):
        verify(tmp_path / "f")


def test_a_network_that_cannot_be_one(weights: Callable[..., Path]) -> None:
    path = weights("mlp:width=8,depth=3")
    manifest, tensors = container.read(path, kind="network")
    told = {key: value for key, value in manifest.items() if key not in ("sha256", "format")}
    for change, match in (
        ({"data": {}}, "data lacks name"),
        ({"data": None}, "data is not an object"),
        ({"data": told["data"] | {"std": [0.0] * 3}}, "its data set is impossible: mean must be"),
        ({"retrain": {"network": "mlp", "steps": 1, "batch": 1, "lr": "x"}}, "retrain.lr is not a number"),
        ({"retrain": told["retrain"] | {"steps": 0}}, "its training is impossible: steps is 0"),
    ):
        container.write(path, tensors, told | change, force=True)
        with pytest.raises(MemoryFileError, match=match):
            verify(path)
    container.write(path, tensors, told | {"network": "mlp:width=9"}, force=True)
    verify(path)
    with pytest.raises(MemoryFileError, match=r"net\.safetensors: it does not hold the weights of mlp:width=9"):
        verify(path, full=True)
    huge = {
        name: torch.full_like(tensor, 1e18) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    container.write(path, huge, told, force=True)
    with pytest.raises(MemoryFileError, match="its network answers by numbers that are not finite"):
        verify(path, full=True)


def test_images_that_no_training_gives(tmp_path: Path) -> None:
    made = artifact()
    made.memory.addresses[0, 0] *= 1e6
    memoryfile.write(tmp_path / "f", made, force=False)
    verify(tmp_path / "f")
    with pytest.raises(
        MemoryFileError, match=r"f: its images hold values from .* to .*, and pixels are between 0 and 1\. Do"
    ):
        verify(tmp_path / "f", full=True)


def test_a_full_check_keeps_within_its_limits(memory: Path) -> None:
    with pytest.raises(LimitError, match="the recall takes about"):
        verify(memory, full=True, limits=Limits(max_seconds=1e-12))
    with pytest.raises(LimitError, match="recalling one image needs"):
        verify(memory, full=True, limits=Limits(max_bytes=100))
    with pytest.raises(LimitError, match=r"m\.safetensors: the file is too large"):
        verify(memory, limits=Limits(max_file=100))
    verify(memory, limits=Limits(max_seconds=1e-12))


def test_a_check_needs_no_torch(memory: Path) -> None:
    code = "import sys, memcli; memcli.verify(sys.argv[1]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, memory], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
