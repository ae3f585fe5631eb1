"""A tiny artifact that never changes, the golden files made from it, and a hand for making bad files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from memcli.data.spec import DataSpec
from memcli.files.manifest import Manifest
from memcli.files.memoryfile import Artifact
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.training.recipe import TrainRecipe

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


FIRST = {  # of the first writer, whose manifests had no checksum of their own and told of no labels: read for ever
    "memory-v1.safetensors": ("float32", "fixed"),
    "memory-v1-float16.safetensors": ("float16", "fixed"),
}
WRITTEN = {  # what is written today, byte for byte
    f"memory-v1-{storage}-{labels}.safetensors": (storage, labels)
    for storage, labels in (("float32", "fixed"), ("float16", "class"), ("int8", "row"), ("int4", "class"))
}
ZCA = tuple(  # a whitening of the golden file: five rings of frequencies, two channels
    value for ring in range(5) for value in (0.5 + ring / 4, -0.125, 0.75 + ring / 8)
)


def tiny_artifact(storage: str = "float32", labels: str = "fixed", cells: int = 0, zca: bool = False) -> Artifact:
    """Two classes of 2x4x6 images: the content of the golden files. Its numbers are exact in their storage type."""
    data = DataSpec("tiny", 2, 4, 6, ("Kläffer", "cat"), (0.5, 0.25), (0.25, 0.125), ZCA if zca else ())
    spec = MemorySpec(data, bases=3, scale=1 if cells else 2, rows=4, storage=storage, labels=labels, cells=cells)
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
    if cells:
        tensors["cells"] = (torch.arange(24) * 5 % cells).to(torch.uint8).view(4, 6)
    return Artifact(Memory(spec, **tensors).rounded(), manifest)


@pytest.fixture
def celled() -> tuple[Path, Artifact]:
    """The golden file of a memory on cells, and what was written into it."""
    return GOLDEN / "memory-v1-int4-fixed-cells.safetensors", tiny_artifact("int4", cells=7)


@pytest.fixture
def white() -> tuple[Path, Artifact]:
    """The golden file of a memory of whitened images, and what was written into it."""
    return GOLDEN / "memory-v1-float16-fixed-zca.safetensors", tiny_artifact("float16", zca=True)


@pytest.fixture
def make() -> Callable[..., Artifact]:
    return tiny_artifact


@pytest.fixture(params=[*FIRST, *WRITTEN])
def golden(request: pytest.FixtureRequest) -> tuple[Path, Artifact]:
    """A golden file and what was written into it."""
    return GOLDEN / request.param, tiny_artifact(*{**FIRST, **WRITTEN}[request.param])


@pytest.fixture(params=WRITTEN)
def written(request: pytest.FixtureRequest) -> tuple[Path, Artifact]:
    """A golden file as it is written today, and what was written into it."""
    return GOLDEN / request.param, tiny_artifact(*WRITTEN[request.param])


def taken_apart(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header without metadata, manifest, payload."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    manifest = json.loads(header.pop("__metadata__")["memcli"])
    return header, manifest, data[8 + length :]


@pytest.fixture
def rebuilt(tmp_path: Path) -> Callable[..., Path]:
    """Write a golden file again after `change(header, manifest)`, with another payload where one is given.

    A payload that depends on the changed header is given as a function of header and old payload.
    """

    def rebuild(
        change: Callable[[dict[str, Any], dict[str, Any]], object],
        payload: bytes | Callable[[dict[str, Any], bytes], bytes] | None = None,
        golden: str = "memory-v1.safetensors",
    ) -> Path:
        header, manifest, old = taken_apart((GOLDEN / golden).read_bytes())
        change(header, manifest)
        new = old if payload is None else payload if isinstance(payload, bytes) else payload(header, old)
        raw = json.dumps({"__metadata__": {"memcli": json.dumps(manifest)}, **header}).encode()
        path = tmp_path / "bad.safetensors"
        path.write_bytes(len(raw).to_bytes(8, "little") + raw + new)
        return path

    return rebuild
