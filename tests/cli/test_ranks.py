"""Several processes of `memcli distill`: what they make together, and what becomes of it where one is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
from commands import inside, outside

from memcli.distillation.toml import to_toml
from memcli.errors import Interrupted

STEPS = 40  # enough to be stopped among them
FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"
SEVERAL = ("distill", FAKE, "-o", "m.safetensors", "--recipe", "tiny.toml", "--no-compile", "--nproc", 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(to_toml(tiny.recipe(STEPS)))
    return tmp_path


@pytest.fixture
def alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The file that one process makes which computes each step twice."""
    monkeypatch.chdir(folder)
    made = inside(*SEVERAL[:3], "alone.safetensors", *SEVERAL[4:-2], "--replicas", 2)
    assert made.exit_code == 0, made.stderr
    return Path("alone.safetensors").read_bytes()


def test_two_processes_make_the_file_that_one_makes_with_two_replicas(folder: Path, alone: bytes) -> None:
    together = outside(folder, *SEVERAL, "--json")
    assert together.returncode == 0, together.stderr
    assert json.loads(together.stdout)["steps"] == STEPS  # one of them speaks
    assert (folder / "m.safetensors").read_bytes() == alone


def second_process(launcher: int) -> int:
    """The process of rank 1 that the process `launcher` has started."""
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if "RANK=1" in Path(f"/proc/{child}/environ").read_text().split("\0"):
            return int(child)
    raise AssertionError("it is not there")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="it finds the processes in /proc")
def test_a_process_that_is_stopped_or_killed_ends_all_and_the_same_command_goes_on(folder: Path, alone: bytes) -> None:
    for number, code in ((signal.SIGTERM, Interrupted.exit_code), (signal.SIGKILL, 128 + signal.SIGKILL)):
        before = set(folder.glob("*.run/checkpoint-*"))
        command = [sys.executable, "-m", "memcli", *map(str, SEVERAL)]
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
            while not set(folder.glob("*.run/checkpoint-*")) - before:
                assert process.poll() is None, "it ended before it could be stopped"
                time.sleep(0.01)
            os.kill(second_process(process.pid), number)
            told = process.communicate()[1]
        assert process.returncode == code, told
        assert not (folder / "m.safetensors").exists()
    again = outside(folder, *SEVERAL)
    assert again.returncode == 0, again.stderr
    assert (folder / "m.safetensors").read_bytes() == alone


def test_a_process_that_cannot_join_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "many", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    told = inside("distill", FAKE, "-o", folder / "m.safetensors")
    assert told.exit_code == 2
    assert told.stderr.startswith("memcli: error: this process cannot join the others (")
    assert told.stderr.endswith("). Start all of them with torchrun, or with --nproc.\n")
