"""A small memory file, and two ways to run the command line: inside this process and as a process of its own."""

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import commands
import pytest
from tiny import write_memory
from typer.testing import Result


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
    return commands.inside


@pytest.fixture
def memcli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same in a process of its own, without what the environment here may set."""
    return partial(commands.outside, tmp_path)
