"""A file of compiled steps comes back whole, and is not used where it is not wholly ours."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from memcli.files import compiledfile
from memcli.files.compiledfile import UnusableError, held, pack, unpack

HERE = {"torch": "2.14", "processor": "one"}
FILES = {"ab/code.so": b"\x7fELF", "fxgraph/x/y": b"", "triton/0/a.cubin": bytes(5000)}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    for name, content in (FILES | {"locks/a.lock": b"", "c.lock": b""}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    pack(tmp_path / "steps", folder, HERE)
    return tmp_path / "steps"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "back").mkdir()
    return tmp_path / "back"


def rewritten(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


HEAD = {"machine.json": json.dumps({"format": "1", **HERE}).encode()}


def test_all_files_but_locks_come_back(packed: Path, folder: Path) -> None:
    unpack(packed, folder, HERE)
    assert {name: (folder / name).read_bytes() for name in held(folder)} == FILES


@pytest.mark.parametrize(
    ("here", "why"),
    [
        ({**HERE, "torch": "3"}, "made for torch 2.14, and here is 3"),
        ({**HERE, "processor": "two"}, "made for processor one, and here is two"),
        ({**HERE, "gpu": "H200"}, "made for gpu None, and here is H200"),
    ],
)
def test_code_for_another_machine_is_not_used(here: dict[str, str], why: str, packed: Path, folder: Path) -> None:
    with pytest.raises(UnusableError, match=why):
        unpack(packed, folder, here)
    assert not held(folder)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        (HEAD | {"code/../../x": b""}, "it holds a file of the name 'code/../../x'"),
        (HEAD | {"/etc/x": b""}, "it holds a file of the name '/etc/x'"),
        (HEAD | {"code/a/./b": b""}, "it holds a file of the name"),
        (HEAD | {"code/a\x1b[2J": b""}, r"it holds a file of the name 'code/a\\\\x1b"),
        ({"code/a": b""}, "it is no file of compiled steps"),
        ({"machine.json": b"["}, "it is damaged"),
        ({"machine.json": b"[]"}, "it was made for format none, and here is 1"),
        ({"machine.json": b'{"format": "\\u001b[2J"}'}, r"it was made for format \\x1b\[2J"),
        ({"machine.json": bytes(70_000)}, "it is no file of compiled steps"),
    ],
)
def test_a_strange_archive_is_not_used(members: dict[str, bytes], why: str, packed: Path, folder: Path) -> None:
    rewritten(packed, members)
    with pytest.raises(UnusableError, match=why):
        unpack(packed, folder, HERE)
    assert not held(folder)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "it is damaged: File is not a zip file"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"\x7fELF", b"\x7fEMF")), "it is damaged: Bad CRC"),
        (lambda path: path.chmod(0o646), "another user owns it or can write it"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "it is no regular file"),
    ],
)
def test_a_damaged_or_open_file_is_not_used(
    damage: Callable[[Path], object], why: str, packed: Path, folder: Path
) -> None:
    rewritten(packed, HEAD | {"code/a.so": b"\x7fELF"})
    damage(packed)
    with pytest.raises(UnusableError, match=why):
        unpack(packed, folder, HERE)


def test_a_file_of_another_user_is_not_used(packed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.geteuid():
        os.chown(packed, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(UnusableError, match="another user owns it"):
        unpack(packed, folder, HERE)


@pytest.mark.parametrize("limit", ["MOST_FILES", "MOST_BYTES"])
def test_a_file_that_is_too_large_is_not_used(
    limit: str, packed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiledfile, limit, 2)
    with pytest.raises(UnusableError, match="it is too large"):
        unpack(packed, folder, HERE)
    assert not held(folder)
