"""What a killed writer leaves is removed by the next start of the same output; what a live one needs is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memcli import machine
from memcli.files import atomic, temporaries

HEX = "0123456789abcdef"
KILLED = """
import os, signal, sys
from pathlib import Path
from memcli import machine
from memcli.files import atomic
kind, output = sys.argv[1], Path(sys.argv[2])
def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if kind == "file":
    os.fsync = kill
    atomic.write_bytes(output, b"new", force=True)
machine.exchange = lambda *_: kind == "exchanged" and kill()
rename, renamed = os.rename, []
def once(*names):
    renamed.append(names)
    return kill() if kind == "aside" and len(renamed) == 2 else rename(*names)
os.rename = once
with atomic.new_folder(output, force=True) as folder:
    (folder / "a").write_text("new")
    if kind == "folder":
        kill()
    atomic.mark(folder, {})
"""


def killed(kind: str, output: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, kind, str(output)], check=False)
    assert ended.returncode == -signal.SIGKILL


def old_folder(output: Path) -> None:
    output.mkdir()
    (output / "a").write_text("old")
    atomic.mark(output, {})


@pytest.mark.parametrize("kind", ["file", "folder", "exchanged", "aside"])
def test_what_a_killed_writer_leaves_is_gone_at_the_next_start_and_nothing_is_lost(tmp_path: Path, kind: str) -> None:
    output = tmp_path / "out"
    if kind == "file":
        output.write_bytes(b"old")
    else:
        old_folder(output)
    killed(kind, output)
    assert len(list(tmp_path.iterdir())) == 2
    if kind == "aside":
        assert not output.exists()
    (atomic.check_output if kind == "file" else atomic.check_folder)(output, force=True)
    assert list(tmp_path.iterdir()) == [output]
    assert (output if kind == "file" else output / "a").read_text() == "old"


def test_a_live_writer_keeps_its_own(tmp_path: Path) -> None:
    output, folder = tmp_path / "out", tmp_path / "folder"
    descriptor, path = temporaries.new_file(output)
    with temporaries.new_folder(folder) as made:
        (made / "x").touch()
        temporaries.collect(output)
        temporaries.collect(folder)
        assert path.exists()
        assert (made / "x").exists()
    os.close(descriptor)
    temporaries.collect(output)
    temporaries.collect(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_on_its_way_out_stays_while_it_is_held(tmp_path: Path) -> None:
    aside = tmp_path / f".out.{HEX}.old"
    aside.mkdir()
    with temporaries.held(aside):
        temporaries.collect(tmp_path / "out")
        assert aside.exists()
    temporaries.collect(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    aside.mkdir()
    temporaries.collect(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "name", [f".other.{HEX}.tmp", f".out.{HEX}.txt", ".out.tmp", f"out.{HEX}.tmp", f".out.{HEX}x.tmp"]
)
def test_other_names_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    temporaries.collect(tmp_path / "out")
    assert (tmp_path / name).exists()


def test_a_link_by_such_a_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    (tmp_path / f".out.{HEX}.tmp").symlink_to(tmp_path / "precious")
    temporaries.collect(tmp_path / "out")
    assert (tmp_path / "precious").read_text() == "x"


def test_one_that_is_collected_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, calls = machine.lock, []

    def late(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:  # another process is quicker
            next(tmp_path.iterdir()).unlink()
        lock(descriptor)

    monkeypatch.setattr(machine, "lock", late)
    descriptor, path = temporaries.new_file(tmp_path / "out")
    os.close(descriptor)
    assert (len(calls), list(tmp_path.iterdir())) == (2, [path])


def test_nothing_is_collected_where_files_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(_: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(machine, "lock", cannot)
    atomic.write_bytes(tmp_path / "out", b"new", force=False)
    (tmp_path / f".out.{HEX}.tmp").touch()
    temporaries.collect(tmp_path / "out")
    assert len(list(tmp_path.iterdir())) == 2
