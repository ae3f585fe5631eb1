"""The newest checkpoint that can be read is the one that a run goes on from."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from run_folders import SETTINGS, checkpoints, run, state, steps_in

from memcli.errors import LimitError, MemoryFileError, UsageError
from memcli.files import checkpoints as checkpoint_files
from memcli.files import container
from memcli.files.runfolder import opened


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "shoes.safetensors"


def test_a_checkpoint_comes_back_exactly(output: Path) -> None:
    run(output, 100)
    with opened(output, SETTINGS, resume=True) as folder:
        found = folder.latest()
    assert found is not None
    step, tensors, counters = found
    assert (step, counters) == (100, {"best": 0.1, "rate": 0.02 / 3})
    assert tensors.keys() == state(100).keys()
    for name, tensor in state(100).items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype


def test_two_generations_are_kept(output: Path) -> None:
    run(output, 1, 2, 3)
    names = ["checkpoint-00000002.safetensors", "checkpoint-00000003.safetensors"]
    assert checkpoints(output.with_name("shoes.safetensors.run")) == names


def test_steps_of_nine_digits_are_in_order(output: Path) -> None:
    run(output, 99_999_999, 100_000_000)
    with opened(output, SETTINGS, resume=True) as folder:
        found = folder.latest()
    assert found is not None
    assert found.step == 100_000_000


def break_newest(path: Path) -> str:
    newest = path / checkpoints(path)[-1]
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    return newest.name


def test_a_damaged_newest_falls_back_to_the_older(output: Path) -> None:
    run(output, 5, 6)
    broken = break_newest(output.with_name("shoes.safetensors.run"))
    notes: list[str] = []
    with opened(output, SETTINGS, resume=True) as folder:
        found = folder.latest(note=notes.append)
        assert found is not None
        assert found.step == 5
        assert notes == [f"{broken} was damaged and is left out; an older checkpoint is continued"]
        assert checkpoints(folder.path) == ["checkpoint-00000005.safetensors"]
        assert steps_in(folder.path) == [5]


@pytest.mark.parametrize(
    "manifest",
    [
        {"kind": "memory"},
        {"kind": "checkpoint"},
        {"kind": "checkpoint", "format": 1, "step": "6", "counters": {}},
        {"kind": "checkpoint", "format": 1, "step": 6, "counters": []},
        {"kind": "checkpoint", "format": 1, "step": 7, "counters": {}},
    ],
)
def test_another_file_in_the_place_of_a_checkpoint_is_damaged(output: Path, manifest: dict[str, Any]) -> None:
    run(output, 5)
    path = output.with_name("shoes.safetensors.run") / "checkpoint-00000006.safetensors"
    container.write(path, state(6), manifest, force=False)
    notes: list[str] = []
    with opened(output, SETTINGS, resume=True) as folder:
        folder.latest(note=notes.append)
    assert [note.split()[0] for note in notes] == [path.name]


def test_no_checkpoint_that_can_be_read(output: Path) -> None:
    run(output, 5)
    break_newest(output.with_name("shoes.safetensors.run"))
    with pytest.raises(MemoryFileError, match=r"no checkpoint in .* can be used \(.*\)\. Start afresh with `force`"):
        run(output, resume=True)
    assert checkpoints(output.with_name("shoes.safetensors.run"))


def test_a_checkpoint_of_a_newer_memcli_is_kept(output: Path) -> None:
    run(output, 5)
    path = output.with_name("shoes.safetensors.run") / "checkpoint-00000006.safetensors"
    newer = {"format": 4, "kind": "checkpoint", "step": 6, "counters": {}}
    container.write(path, state(6), newer, force=False)
    with pytest.raises(MemoryFileError, match="was written by a newer memcli"):
        run(output, resume=True)
    assert path.exists()


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_keeps_the_older_checkpoints(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(output, 1, 2)
    with opened(output, SETTINGS, resume=True) as folder:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(LimitError, match="no space to write"):
                folder.save(3, state(3), {})
        names = ["checkpoint-00000001.safetensors", "checkpoint-00000002.safetensors"]
        assert checkpoints(folder.path) == names
        found = folder.latest()
    assert found is not None
    assert found.step == 2


def test_counters_must_be_json(output: Path) -> None:
    with opened(output, SETTINGS) as folder, pytest.raises(UsageError, match="cannot be stored as JSON"):
        folder.save(1, state(1), {"loss": float("nan")})


def test_resuming_before_the_first_checkpoint_starts_over(output: Path) -> None:
    with opened(output, SETTINGS) as folder:
        folder.metrics(0, loss=1.0)
    with opened(output, SETTINGS, resume=True) as folder:
        assert folder.latest() is None
        assert not (folder.path / "metrics.jsonl").exists()


def test_a_checkpoint_that_the_run_refuses_is_passed_over(output: Path) -> None:
    run(output, 5, 6)

    def accept(found: checkpoint_files.Checkpoint) -> None:
        if found.step == 6:
            raise checkpoint_files.damaged("no")

    with opened(output, SETTINGS) as folder:
        found = folder.latest(accept)
    assert found is not None
    assert found.step == 5


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "it lacks a"),
        ({"a": torch.zeros(2), "b\x1b": torch.zeros(2)}, r"it holds a strange b\\x1b"),
        ({"a": torch.zeros(3)}, "its a is of another type or shape"),
        ({"a": torch.zeros(2).double()}, "its a is of another type or shape"),
        ({"a": torch.tensor([0.0, torch.nan])}, "its a holds numbers that are not finite, or beyond any use"),
        ({"a": torch.tensor([0.0, -1e19])}, "its a holds numbers that are not finite, or beyond any use"),
    ],
)
def test_tensors_that_no_run_has_are_named(tensors: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(MemoryFileError, match=rf"{message}\. Start afresh with `force`"):
        checkpoint_files.require_like(tensors, {"a": torch.zeros(2)})
    checkpoint_files.require_like({"a": torch.ones(2)}, {"a": torch.zeros(2)})
