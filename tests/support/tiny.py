"""What tests of whole runs share: a recipe of few steps, photographs to run it on, and a small memory file."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from memcli.data.spec import DataSpec
from memcli.distillation.recipe import Recipe, load_recipe
from memcli.distillation.toml import to_toml
from memcli.files import memoryfile
from memcli.files.manifest import Manifest
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.seeds import generator
from memcli.training.recipe import TrainRecipe

MLP = "mlp:width=8,depth=2"


def recipe(
    steps: int,
    *,
    check_every: int = 2,
    inner: int = 3,
    real_per_class: int = 4,
    check: int = 3,
    retrain: int = 5,
    batch: int = 6,
    **more: object,
) -> Recipe:
    """One unrolled stage of `steps` outer steps; `inner`, `check` and `retrain` are steps of training."""
    objective = {"kind": "unrolled", "network": MLP, "steps": inner, "real_per_class": real_per_class}
    return load_recipe("quick").changed(
        {
            "check_networks": 1,
            "stages": [{"steps": steps, "check_every": check_every, "objective": objective}],
            "check": {"network": MLP, "steps": check, "batch": batch},
            "retrain": {"network": MLP, "steps": retrain, "batch": batch},
            **more,
        }
    )


RECIPE = to_toml(recipe(2, inner=2, check=2, retrain=2))


def write_images(folder: Path, *, each: int = 12) -> None:
    """A folder of 8x8 photographs, `each` of cats and of dogs, which are brighter."""
    drawn = np.random.default_rng(0)
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for count in range(each):
            pixels = drawn.integers(0, 128, (8, 8, 3)) + 100 * number
            Image.fromarray(pixels.astype("uint8")).save(folder / name / f"{count}.png")


def write_memory(
    path: Path,
    *,
    classes: tuple[str, ...] = ("0", "1", "2"),
    name: str = "fake",
    storage: str = "float32",
    labels: str = "fixed",
    support: int = 0,
    **provenance: str,
) -> Path:
    """Write a memory of random numbers, for 1x8x8 images, to `path`."""
    data = DataSpec(name, 1, 8, 8, classes, (0.5,), (0.25,))
    spec = MemorySpec(data, bases=3, scale=2, rows=4, storage=storage, labels=labels, support=support)
    tensors = {part: torch.randn(shape, generator=generator(0, part)) for part, shape in spec.shapes.items()}
    if support:
        tensors["support"] = torch.arange(support).expand(spec.shapes["addresses"])
    told = {"source": "fake", "fingerprint": "f" * 64, "licence": None, "versions": {"memcli": "0"}} | provenance
    recipe = TrainRecipe("mlp:width=8", steps=3, batch=6, lr=0.05)
    manifest = Manifest(spec, {"name": "quick", "outer": {"lr": 0.02}}, 7, recipe, told, {"validation": 0.5})
    memoryfile.write(path, memoryfile.Artifact(Memory(spec, **tensors).rounded(), manifest), force=True)
    return path
