"""A small memory file, and two ways to run the command line: inside this process and as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tiny import write_memory
from typer.testing import CliRunner, Result

from memcli.cli.app import app


@pytest.fixture
def make_memory(tmp_path: Path) -> Callable[..., Path]:
    """`make_memory(classes=...)` writes a small memory file and returns its path."""

    return partial(write_memory, tmp_path / "memory.safetensors")


@pytest.fixture
def memory(make_memory: Callable[..., Path]) -> Path:
    """A memory file for the classes 0, 1 and 2, those of `fake:classes=3,shape=1x8x8`."""
    return make_memory()


@pytest.fixture
def run() -> Callable[..., Result]:
    """`run("recall", path, env={...})` inside this process."""

    def invoke(*args: object, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, [str(arg) for arg in args], env=env)

    return invoke


@pytest.fixture
def memcli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same in a process of its own, without what the environment here may set."""

    def start(*args: object, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("MEMCLI_", "FORCE_COLOR"))}
        command = [sys.executable, "-m", "memcli", *map(str, args)]
        if shell:
            command = ["bash", "-c", f'"$@" {shell}', "bash", *command]
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=clean | environment, timeout=60, check=False
        )

    return start
