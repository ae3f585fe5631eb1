"""A run that writes figures and checkpoints, and what its folder then holds."""

import json
from pathlib import Path

import torch

from memcli.files.runfolder import opened

SETTINGS = {"recipe": {"outer": {"lr": 0.02}, "steps": 10}, "seed": 0, "shape": (1, 2)}


def state(step: int) -> dict[str, torch.Tensor]:
    return {
        "bases": torch.full((2, 3), step / 7),
        "step/α": torch.tensor(step),
        "mask": torch.ones(4, dtype=torch.uint8),
    }


def run(output: Path, *steps: int, **how: bool) -> None:
    """A run that writes figures and a checkpoint at every one of `steps`."""
    with opened(output, SETTINGS, **how) as folder:
        folder.latest()
        for step in steps:
            folder.metrics(step, loss=step / 2)
            folder.save(step, state(step), {"best": 0.1, "rate": 0.02 / 3})


def steps_in(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (path / "metrics.jsonl").read_text().splitlines()]


def checkpoints(path: Path) -> list[str]:
    return sorted(found.name for found in path.glob("checkpoint-*"))
