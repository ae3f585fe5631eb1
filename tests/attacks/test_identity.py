"""Edits of every value that a file holds, and files that are exchanged while they are used: each is noticed."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import inside
from memories import artifact
from PIL import Image
from sealing import put_together, taken_apart
from tiny import write_memory

from memcli.errors import MemoryFileError
from memcli.files import container, memoryfile
from memcli.files.identity import MemoryFileWarning
from memcli.files.inspection import inspect

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FIRST = ("memory-v1.safetensors", "memory-v1-float16.safetensors")  # without a seal
TODAY = sorted(path.name for path in GOLDEN.glob("memory-v2-*.safetensors"))
SEALED = sorted({path.name for path in GOLDEN.glob("memory-v*.safetensors")} - set(FIRST))
FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"
REFUSED, WARNED, NOT_EXPECTED = "refused", "warned of", "refused by whoever noted the checksum"


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from places(inner)


def other(value: Any) -> Any:
    """A value of the same type that is not `value`, where there is one."""
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return value[1:] or [0]
    return {} if value else {"x": 1}


def edits(manifest: dict[str, Any]) -> Iterator[str]:
    """Change every value, take every key out and give it another name, one at a time; tells what was done."""
    for holder, key in list(places(manifest)):
        before = list(holder.items()) if isinstance(holder, dict) else list(holder)
        for how in ("another", "no", "renamed"):
            value = holder.pop(key)
            if isinstance(holder, list):
                holder[key:key] = [other(value)] if how == "another" else []
            elif how != "no":
                holder[key if how == "another" else f"{key}x"] = other(value) if how == "another" else value
            yield f"{how} {key}"
            holder.clear()
            holder.update(before) if isinstance(holder, dict) else holder.extend(before)


def fate(path: Path, noted: str) -> str:
    """What becomes of the file in a reader's hands."""
    try:
        inspect(path)
    except MemoryFileError:
        return REFUSED
    except MemoryFileWarning:
        return WARNED
    with pytest.raises(MemoryFileError, match="was expected"):
        inspect(path, expect_sha256=noted)
    return NOT_EXPECTED


@pytest.mark.parametrize("name", SEALED)
def test_every_edit_of_a_manifest_is_refused(name: str, tmp_path: Path) -> None:
    header, manifest, payload = taken_apart((GOLDEN / name).read_bytes())
    fates = []
    for _ in edits(manifest):
        (tmp_path / "f").write_bytes(put_together(header, manifest, payload, seal=False))
        fates.append(fate(tmp_path / "f", ""))
    assert len(fates) > 100
    assert set(fates) == {REFUSED}


@pytest.mark.parametrize("name", FIRST)
def test_every_edit_of_a_first_manifest_is_refused_or_warned_of(name: str, tmp_path: Path) -> None:
    header, manifest, payload = taken_apart((GOLDEN / name).read_bytes())
    fates = set()
    for _ in edits(manifest):
        (tmp_path / "f").write_bytes(put_together(header, manifest, payload, seal=False))
        fates.add(fate(tmp_path / "f", ""))
    assert fates == {REFUSED, WARNED}


@pytest.mark.parametrize("name", TODAY)
def test_every_edit_that_makes_the_checksum_anew_is_another_file(name: str, tmp_path: Path) -> None:
    noted, fates = inspect(GOLDEN / name).sha256, set()
    header, manifest, payload = taken_apart((GOLDEN / name).read_bytes())
    for what in edits(manifest):
        if not what.endswith(" sha256"):  # which is made anew
            copy = json.loads(json.dumps(manifest))
            (tmp_path / "f").write_bytes(put_together(header, copy, payload))
            fates.add(fate(tmp_path / "f", noted))
    assert fates == {REFUSED, NOT_EXPECTED}


@pytest.mark.parametrize("name", TODAY)
@pytest.mark.parametrize("seal", [True, False])
def test_every_edit_of_a_tensor_is_noticed(name: str, seal: bool, tmp_path: Path) -> None:
    noted, fates = inspect(GOLDEN / name).sha256, set()
    header, manifest, payload = taken_apart((GOLDEN / name).read_bytes())
    for entry in header.values():
        for at in range(*entry["data_offsets"], 3):
            changed = bytearray(payload)
            changed[at] ^= 1
            copy = json.loads(json.dumps(manifest))
            (tmp_path / "f").write_bytes(put_together(header, copy, bytes(changed), seal=seal))
            fates.add(fate(tmp_path / "f", noted))
    assert fates <= ({REFUSED, NOT_EXPECTED} if seal else {REFUSED})


COMMANDS: dict[str, tuple[str, ...]] = {
    "inspect": ("inspect", "FILE", "--json"),
    "recall": ("recall", "FILE", "-o", "OUT.npz", "--json"),
    "recall to a folder": ("recall", "FILE", "-o", "OUT/", "--json"),
    "retrain": ("retrain", "FILE", "-o", "OUT", "--data", FAKE, "--json", "-q"),
    "eval": ("eval", "FILE", "--data", FAKE, "--runs", "1", "--json", "-q"),
    "report": ("report", "FILE", "-o", "OUT.html", "-q"),
    "card": ("card", "FILE", "-o", "OUT.md"),
    "predict": ("predict", "NETWORK", "IMAGE.png", "--json"),
}


def ran(command: tuple[str, ...], folder: Path) -> tuple[int, Any, dict[str, bytes]]:
    """Exit code, what was printed but times, and what was written, which is then removed."""
    result = inside(
        *(folder / word if word.startswith(("FILE", "NETWORK", "IMAGE", "OUT")) else word for word in command)
    )
    told = json.loads(result.stdout) if result.exit_code == 0 and "--json" in command else {}
    written = {
        path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if "OUT" in str(path) and path.is_file()
    }
    for path in folder.glob("OUT*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return result.exit_code, {key: value for key, value in told.items() if key != "seconds"}, written


def contents(kind: str, folder: Path) -> list[bytes]:
    """Two files that differ in their meaning, and not in their size: memories, or networks trained on them."""
    made = []
    for classes in (("0", "1", "2"), ("2", "1", "0")):
        path = write_memory(folder / "FILE", classes=classes)
        if kind == "NETWORK":
            assert inside("retrain", path, "-o", folder / "NETWORK", "-q", "--force").exit_code == 0
        made.append((folder / kind).read_bytes())
    return made


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_is_exchanged_while_a_command_runs_is_used_as_it_was_checked(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file takes its name as soon as it is opened; a second opening would mix the two."""
    command = COMMANDS[name]
    path = tmp_path / command[1]
    one, another = contents(command[1], tmp_path)
    Image.new("L", (8, 8), 77).save(tmp_path / "IMAGE.png")
    path.write_bytes(one)
    expected = ran(command, tmp_path)
    assert expected[0] == 0
    path.write_bytes(another)
    assert ran(command, tmp_path) != expected
    path.write_bytes(one)
    (tmp_path / "other").write_bytes(another)
    open_file = os.open

    def exchanged(file: Any, *args: Any, **more: Any) -> int:
        descriptor = open_file(file, *args, **more)
        if Path(file) == path and (tmp_path / "other").exists():
            os.replace(tmp_path / "other", path)
        return descriptor

    monkeypatch.setattr(os, "open", exchanged)
    assert ran(command, tmp_path) == expected
    assert path.read_bytes() == another


@pytest.mark.parametrize("name", ["inspect", "recall", "card"])
def test_a_file_that_is_written_over_between_header_and_tensors_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the header of one file and the tensors of another, none is used. The file is too large for one read."""
    path = tmp_path / "FILE"
    memoryfile.write(path, artifact(side=64), force=False)
    header, manifest, payload = taken_apart(path.read_bytes())
    tensors = (payload, payload[:-4] + bytes(4))
    one, another = (put_together(header, dict(manifest), each) for each in tensors)
    path.write_bytes(one)
    payload_of = container.OpenFile.payload

    def overwritten(file: container.OpenFile) -> bytes:
        path.write_bytes(another)
        return payload_of(file)

    monkeypatch.setattr(container.OpenFile, "payload", overwritten)
    assert ran(COMMANDS[name], tmp_path) == (4, {}, {})
