"""A small memory file, and two ways to run the command line: inside this process and as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from memcli.cli.app import app
from memcli.data.spec import DataSpec
from memcli.files import memoryfile
from memcli.files.manifest import Manifest
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.seeds import generator
from memcli.training.recipe import TrainRecipe


@pytest.fixture
def make_memory(tmp_path: Path) -> Callable[..., Path]:
    """`make_memory(classes=...)` writes a small memory file and returns its path."""

    def make(
        classes: tuple[str, ...] = ("0", "1", "2"),
        name: str = "fake",
        storage: str = "float32",
        labels: str = "fixed",
        **provenance: str,
    ) -> Path:
        data = DataSpec(name, 1, 8, 8, classes, (0.5,), (0.25,))
        spec = MemorySpec(data, bases=3, scale=2, rows=4, storage=storage, labels=labels)
        tensors = {name: torch.randn(shape, generator=generator(0, name)) for name, shape in spec.shapes.items()}
        told = {"source": "fake", "fingerprint": "f" * 64, "licence": None, "versions": {"memcli": "0"}} | provenance
        recipe = TrainRecipe("mlp:width=8", steps=3, batch=6, lr=0.05)
        manifest = Manifest(spec, {"name": "quick", "outer": {"lr": 0.02}}, 7, recipe, told, {"validation": 0.5})
        path = tmp_path / "memory.safetensors"
        memoryfile.write(path, memoryfile.Artifact(Memory(spec, **tensors).rounded(), manifest), force=True)
        return path

    return make


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
