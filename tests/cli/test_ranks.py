"""Several processes of `memcli distill`: what they make together, and what becomes of it where one is killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import torch
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


def second_process(launcher: int) -> int:
    """The process of rank 1 that the process `launcher` has started."""
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if "RANK=1" in Path(f"/proc/{child}/environ").read_text().split("\0"):
            return int(child)
    raise AssertionError("it is not there")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="it finds the processes in /proc")
def test_a_process_that_is_stopped_or_killed_ends_all_and_the_same_command_goes_on_to_the_file_of_one(
    folder: Path, alone: bytes
) -> None:
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
        assert told.count("memcli: error: ") == 1, told
        assert not (folder / "m.safetensors").exists()
    again = outside(folder, *SEVERAL, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["steps"] == STEPS  # one of them speaks
    assert (folder / "m.safetensors").read_bytes() == alone


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="it finds the processes in /proc")
def test_a_signal_to_one_process_stops_an_evaluation_whose_networks_are_kept(folder: Path) -> None:
    memory = tiny.write_memory(folder / "m.safetensors")
    words = ("eval", memory, "--data", FAKE, "--runs", 10, "--protocol", "rtp")
    command = [sys.executable, "-m", "memcli", *map(str, words), "--nproc", "2"]
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # of one machine, so that one goes on
    with subprocess.Popen(command, env=threads, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = ""
        while not re.search(r"run 1 of 10: [\d.]+ %", told):  # it is kept, and most others are to come
            told += (line := process.stderr.readline())
            assert line, told
        os.kill(second_process(process.pid), signal.SIGTERM)
        figures, more = process.communicate()
    assert process.returncode == Interrupted.exit_code, told + more
    (error,) = re.findall("memcli: error: .*", more)
    how = "stopped|another process of the run has ended"  # whichever the first process sees sooner
    assert re.search(rf"({how}) after \d of 10 trainings, kept in .*\. Give the same command again", error)
    assert figures.startswith("memory "), "what was measured is told once"
    again = inside(*words, "--json")
    assert "run 1 of 10: " not in again.stderr
    whole = inside(*words, "--json")
    assert {**json.loads(again.stdout), "seconds": 0} == {**json.loads(whole.stdout), "seconds": 0}


def test_fewer_runs_than_processes_are_refused_by_one_line(folder: Path) -> None:
    told = outside(
        folder, "continual", "permutations:tasks=2,images=20,memory=10", "--data", FAKE, "-o", "out", "--nproc", 2
    )
    assert (told.returncode, told.stdout) == (2, "")
    line = "memcli: error: --runs is 1 for 2 processes. Give one or more for each process, or fewer of them."
    assert [each for each in told.stderr.splitlines() if each.startswith("memcli")] == [line], "before anything is read"


def test_a_process_that_cannot_join_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "many", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    told = inside("distill", FAKE, "-o", folder / "m.safetensors")
    assert told.exit_code == 2
    assert told.stderr.startswith("memcli: error: this process cannot join the others (")
    assert told.stderr.endswith("). Start all of them with torchrun, or with --nproc.\n")
