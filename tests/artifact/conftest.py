"""A tiny artifact that never changes, the golden files made from it, and a hand for making bad files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from memcli.artifact.files import Artifact
from memcli.artifact.manifest import Manifest
from memcli.memory import Memory
from memcli.spec import DataSpec, MemorySpec, TrainRecipe

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def tiny_artifact(storage: str = "float32") -> Artifact:
    """Two classes of 2x4x6 images: the content of the golden files. Its numbers are exact in float16."""
    data = DataSpec("tiny", 2, 4, 6, ("Kläffer", "cat"), (0.5, 0.25), (0.25, 0.125))
    spec = MemorySpec(data, bases=3, scale=2, rows=4, storage=storage)
    tensors = {
        name: ((torch.arange(torch.Size(shape).numel()) * 37 % 101 - 50) / 32).reshape(shape)
        for name, shape in spec.shapes.items()
    }
    manifest = Manifest(
        spec=spec,
        recipe={"name": "test", "outer": {"lr": 0.02}, "stages": ["one", "two"]},
        seed=7,
        retrain=TrainRecipe("mlp", 10, 8, 0.05, 0.9),
        provenance={
            "source": "fake:",
            "fingerprint": "0" * 64,
            "licence": None,
            "versions": {"memcli": "0.1.0", "numpy": "2", "python": "3.11", "torch": "2"},
        },
        results={"validation": {"accuracy": 0.5, "images": 20}},
    )
    return Artifact(Memory(spec, **tensors), manifest)


@pytest.fixture
def make() -> Callable[..., Artifact]:
    return tiny_artifact


@pytest.fixture(params=["float32", "float16"])
def golden(request: pytest.FixtureRequest) -> tuple[Path, Artifact]:
    """A golden file and what was written into it."""
    name = {"float32": "memory-v1.safetensors", "float16": "memory-v1-float16.safetensors"}[request.param]
    return GOLDEN / name, tiny_artifact(request.param)


def taken_apart(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header without metadata, manifest, payload."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    manifest = json.loads(header.pop("__metadata__")["memcli"])
    return header, manifest, data[8 + length :]


@pytest.fixture
def rebuilt(tmp_path: Path) -> Callable[..., Path]:
    """Write the golden file again after `change(header, manifest)`, with another payload where one is given."""

    def rebuild(change: Callable[[dict[str, Any], dict[str, Any]], object], payload: bytes | None = None) -> Path:
        header, manifest, old = taken_apart((GOLDEN / "memory-v1.safetensors").read_bytes())
        change(header, manifest)
        raw = json.dumps({"__metadata__": {"memcli": json.dumps(manifest)}, **header}).encode()
        path = tmp_path / "bad.safetensors"
        path.write_bytes(len(raw).to_bytes(8, "little") + raw + (old if payload is None else payload))
        return path

    return rebuild
