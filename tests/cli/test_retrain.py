"""`memcli retrain`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memcli import tensorfile
from memcli.artifact import inspection
from memcli.cli import retrain

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"


def test_json_holds_the_promised_keys(run: Callable, memory: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    result = run("retrain", memory, "-o", out, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found.keys() == retrain.JSON.keys() - {"accuracy"}
    assert (found["output"], found["network"], found["steps"]) == (str(out), "mlp:width=8", 3)
    manifest, weights = tensorfile.read(out, kind="network")
    assert found["sha256"] == manifest["sha256"]
    assert manifest["memory_sha256"] == inspection.inspect(memory).sha256
    assert weights


def test_with_data_it_also_measures(run: Callable, memory: Path, tmp_path: Path) -> None:
    result = run("retrain", memory, "-o", tmp_path / "net", "--data", FAKE, "--json")
    found = json.loads(result.stdout)
    assert found.keys() == retrain.JSON.keys()
    assert 0 <= found["accuracy"] <= 1
    people = run("retrain", memory, "-o", tmp_path / "net2", "--data", FAKE)
    assert f"{100 * found['accuracy']:.2f} % of the test split" in people.stdout


@pytest.mark.parametrize(
    ("option", "value", "key"),
    [("--network", "mlp:width=4", "network"), ("--steps", 5, "steps"), ("--batch", 3, "batch"), ("--lr", 0.5, "lr")],
)
def test_the_recipe_of_the_file_may_be_changed(
    *, option: str, value: object, key: str, run: Callable, memory: Path, tmp_path: Path
) -> None:
    assert run("retrain", memory, "-o", tmp_path / "net", option, value).exit_code == 0
    used = tensorfile.read_header(tmp_path / "net").manifest["retrain"]
    assert used == {"network": "mlp:width=8", "steps": 3, "batch": 6, "lr": 0.05, "momentum": 0.9, key: value}


def test_the_seed_decides_the_weights(run: Callable, memory: Path, tmp_path: Path) -> None:
    sums = [
        json.loads(run("retrain", memory, "-o", tmp_path / f"{number}", "--seed", seed, "--json").stdout)["sha256"]
        for number, seed in enumerate((1, 1, 2))
    ]
    assert sums[0] == sums[1] != sums[2]
