"""`memcli retrain`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memcli.cli import retrain
from memcli.files import container, inspection
from memcli.files.weights import checksum

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"


def test_json_holds_the_promised_keys(run: Callable, memory: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    result = run("retrain", memory, "-o", out, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found.keys() == retrain.JSON.keys() - {"accuracy"}
    assert (found["output"], found["network"], found["steps"]) == (str(out), "mlp:width=8", 3)
    manifest, weights = container.read(out, kind="network")
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
    used = container.read_header(tmp_path / "net").manifest["retrain"]
    assert used == {"network": "mlp:width=8", "steps": 3, "batch": 6, "lr": 0.05, "momentum": 0.9, key: value}


def test_another_network_trains_longer_at_a_lower_rate_unless_told_otherwise(
    run: Callable, memory: Path, tmp_path: Path
) -> None:
    net = tmp_path / "net"
    assert run("retrain", memory, "-o", net, "--network", "convnet:width=4").exit_code == 0
    used = container.read_header(net).manifest["retrain"]
    assert (used["network"], used["steps"], used["lr"]) == ("convnet:width=4", 6, 0.0125)
    assert run("retrain", memory, "-o", net, "--network", "convnet:width=4", "--lr", 0.05, "--force").exit_code == 0
    used = container.read_header(net).manifest["retrain"]
    assert (used["steps"], used["lr"]) == (6, 0.05)


def test_the_seed_decides_the_weights(run: Callable, memory: Path, tmp_path: Path) -> None:
    sums = [
        json.loads(run("retrain", memory, "-o", tmp_path / f"{number}", "--seed", seed, "--json").stdout)["sha256"]
        for number, seed in enumerate((1, 1, 2))
    ]
    assert sums[0] == sums[1] != sums[2]


def test_the_images_of_a_step_are_told_as_they_are_and_not_as_they_are_asked_for(
    run: Callable, make_memory: Callable, tmp_path: Path
) -> None:
    """One memory's steps have an image of each class at least, here of three; those of a union have the batch."""
    net, one = tmp_path / "net", make_memory()
    assert "3 steps of 3 images in" in run("retrain", one, "-o", net, "--batch", 2).stdout
    other = one.rename(tmp_path / "one.safetensors"), make_memory(classes=("c", "d"))
    assert "3 steps of 2 images in" in run("retrain", *other, "-o", net, "--batch", 2, "--force").stdout


def test_several_files_are_trained_on_together(run: Callable, make_memory: Callable, tmp_path: Path) -> None:
    first = make_memory().rename(tmp_path / "first.safetensors")
    second = make_memory(classes=("2", "3")).rename(tmp_path / "second.safetensors")
    result = run("retrain", first, second, "-o", tmp_path / "net", "--json")
    assert result.exit_code == 0, result.stderr
    manifest = container.read_header(tmp_path / "net").manifest
    assert manifest["data"]["classes"] == ["0", "1", "2", "3"]
    sums = [inspection.inspect(path).sha256 for path in (first, second)]
    assert manifest["memory_sha256"] == checksum(sums)


def test_a_file_that_is_wrong_is_named(run: Callable, memory: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(memory.read_bytes()[:-1])
    result = run("retrain", memory, broken, "-o", tmp_path / "net")
    assert result.exit_code == 4
    assert "broken.safetensors" in result.stderr
    assert not (tmp_path / "net").exists()
