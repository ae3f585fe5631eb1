"""The benchmark of plain training, on networks so small that its figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path

import bench_training as bench
import pytest
import torch

from memcli.seeds import isolated

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "bench_training.py"


def test_both_sides_are_measured_in_processes_of_their_own() -> None:
    sizes = ["--widths", "4", "--batches", "3", "--steps", "2", "--repeats", "1"]
    done = subprocess.run([sys.executable, str(SCRIPT), *sizes, "--json"], capture_output=True, check=True, timeout=300)
    rows = json.loads(done.stdout)["rows"]
    assert [row["images"] for row in rows] == list(bench.SHAPES)
    for row in rows:
        for part in bench.PARTS:
            assert row[f"memcli {part}"] > 0
            assert row[f"{part}, ratio"] == row[f"memcli {part}"] / row[f"pytorch {part}"]
    assert bench.table(rows).count("\n") == 3


def test_a_side_that_ends_early_is_told() -> None:
    sizes = ["--images", "28x28", "--widths", "0", "--batches", "3"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *sizes], check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert done.stderr.endswith("ended at 28x28, width 0, batch 3, as it says above. Give other sizes.\n")


@pytest.mark.parametrize("shape", bench.SHAPES)
def test_both_sides_train_networks_of_the_same_size(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    step = torch.optim.SGD.step

    def counted(optimiser: torch.optim.SGD) -> None:
        sizes.append([weight.shape for group in optimiser.param_groups for weight in group["params"]])
        step(optimiser)

    monkeypatch.setattr(torch.optim.SGD, "step", counted)
    monkeypatch.setattr(bench, "keep_freed_memory", lambda: True)  # for the whole process, so not in this one
    with isolated(0, "PyTorch's side draws as its users do"):
        for side in bench.SIDES.values():
            training, looking = side(shape, 4, 3, 2)
            training()
            looking()
    ours, plain = sizes[:2], sizes[2:]
    assert ours == plain
    assert len(ours) == 2, "minibatches"
