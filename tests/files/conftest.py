"""A tiny artifact that never changes, the golden files made from it, and a hand for making bad files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sealing import put_together, taken_apart

from memcli.data.spec import DataSpec
from memcli.files.manifest import Manifest
from memcli.files.memoryfile import Artifact
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.training.recipe import TrainRecipe

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


KINDS = (("float32", "fixed"), ("float16", "class"), ("int8", "row"), ("int4", "class"))
FIRST = {  # of the first writer, whose manifests had no checksum of their own and told of no labels: read for ever
    "memory-v1.safetensors": ("float32", "fixed"),
    "memory-v1-float16.safetensors": ("float16", "fixed"),
}
SEALED = {f"memory-v1-{storage}-{labels}.safetensors": (storage, labels) for storage, labels in KINDS}  # of format 1
WRITTEN = {  # what is written today, byte for byte
    f"memory-v2-{storage}-{labels}.safetensors": (storage, labels) for storage, labels in KINDS
}
SPARSE: dict[str, dict[str, Any]] = {
    "memory-v3-int4-class-support.safetensors": {"storage": "int4", "labels": "class", "support": 2},
    "memory-v3-float32-cells-support.safetensors": {"cells": 7, "support": 1},
}
GOLDENS = {**FIRST, **SEALED, **WRITTEN}
UNSEALED = pytest.mark.filterwarnings("ignore:.* is of format 1, and no checksum covers what it says")
ZCA = tuple(  # a whitening of the golden file: five rings of frequencies, two channels
    value for ring in range(5) for value in (0.5 + ring / 4, -0.125, 0.75 + ring / 8)
)


def tiny_artifact(
    storage: str = "float32", labels: str = "fixed", cells: int = 0, zca: bool = False, support: int = 0
) -> Artifact:
    """Two classes of 2x4x6 images: the content of the golden files. Its numbers are exact in their storage type."""
    data = DataSpec("tiny", 2, 4, 6, ("Kläffer", "cat"), (0.5, 0.25), (0.25, 0.125), ZCA if zca else ())
    more = {"storage": storage, "labels": labels, "cells": cells, "support": support}
    spec = MemorySpec(data, bases=3, scale=1 if cells else 2, rows=4, **more)
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
    if support:
        first = torch.arange(8).view(4, 2, 1) % (4 - support)
        tensors["support"] = first + torch.arange(support)
    return Artifact(Memory(spec, **tensors).rounded(), manifest)


@pytest.fixture(params=[1, 2])
def celled(request: pytest.FixtureRequest) -> tuple[Path, Artifact]:
    """A golden file of a memory on cells, and what was written into it."""
    return GOLDEN / f"memory-v{request.param}-int4-fixed-cells.safetensors", tiny_artifact("int4", cells=7)


@pytest.fixture(params=SPARSE)
def sparse(request: pytest.FixtureRequest) -> tuple[Path, Artifact]:
    """A golden file of a memory of sparse addresses, which came with format 3, and what was written into it."""
    return GOLDEN / request.param, tiny_artifact(**SPARSE[request.param])


@pytest.fixture(params=[1, 2])
def white(request: pytest.FixtureRequest) -> tuple[Path, Artifact]:
    """A golden file of a memory of whitened images, and what was written into it."""
    return GOLDEN / f"memory-v{request.param}-float16-fixed-zca.safetensors", tiny_artifact("float16", zca=True)


@pytest.fixture
def make() -> Callable[..., Artifact]:
    return tiny_artifact


@pytest.fixture(params=[pytest.param(name, marks=UNSEALED if name in FIRST else ()) for name in GOLDENS])
def golden(request: pytest.FixtureRequest) -> tuple[Path, Artifact]:
    """A golden file and what was written into it."""
    return GOLDEN / request.param, tiny_artifact(*GOLDENS[request.param])


@pytest.fixture(params=WRITTEN)
def written(request: pytest.FixtureRequest) -> tuple[Path, Artifact]:
    """A golden file as it is written today, and what was written into it."""
    return GOLDEN / request.param, tiny_artifact(*WRITTEN[request.param])


@pytest.fixture
def rebuilt(tmp_path: Path) -> Callable[..., Path]:
    """Write a golden file again after `change(header, manifest)`, with another payload where one is given.

    A payload that depends on the changed header is given as a function of header and old payload. With `seal` the
    checksums are made anew, so that they hide nothing.
    """

    def rebuild(
        change: Callable[[dict[str, Any], dict[str, Any]], object],
        payload: bytes | Callable[[dict[str, Any], bytes], bytes] | None = None,
        golden: str = "memory-v2-float32-fixed.safetensors",
        *,
        seal: bool = True,
    ) -> Path:
        header, manifest, old = taken_apart((GOLDEN / golden).read_bytes())
        change(header, manifest)
        new = old if payload is None else payload if isinstance(payload, bytes) else payload(header, old)
        path = tmp_path / "bad.safetensors"
        path.write_bytes(put_together(header, manifest, new, seal=seal))
        return path

    return rebuild
