"""`memcli eval`."""

import json
from collections.abc import Callable
from pathlib import Path

from memcli.cli import evaluate
from memcli.files import memoryfile

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"


def test_json_holds_the_promised_keys(run: Callable, memory: Path) -> None:
    result = run("eval", memory, "--data", FAKE, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found.keys() == evaluate.JSON.keys()
    assert (found["memory"], found["data"], found["baselines"]) == (str(memory), FAKE, {})
    assert found["size"] == memoryfile.read(memory).memory.spec.size()
    (only,) = found["results"]
    assert only["network"] == "mlp:width=8"
    assert only["accuracy"].keys() == {"mean", "std", "n"}
    assert only["accuracy"]["n"] == 3
    assert only["lr"] == memoryfile.read(memory).manifest.retrain.lr


def test_networks_runs_and_baselines(run: Callable, memory: Path) -> None:
    args = ["eval", memory, "--data", FAKE, "--network", "mlp:width=4", "--network", "mlp:width=6", "--runs", 2]
    args += ["--baselines", "random, full", "--full-epochs", 1]
    found = json.loads(run(*args, "--json").stdout)
    for rows in (found["results"], found["baselines"]["random"], found["baselines"]["full"]):
        assert [row["network"] for row in rows] == ["mlp:width=4", "mlp:width=6"]
        assert [row["accuracy"]["n"] for row in rows] == [2, 2]
    people = run(*args)
    names = [line.split("  ")[0].strip() for line in people.stdout.splitlines()]
    assert "accuracy, mlp:width=6" in names
    assert "random images, mlp:width=4" in names
    assert "full images, mlp:width=4" in names
    assert "(n = 2)" in people.stdout
    assert "memcli: mlp:width=4, full, run 2 of 2: 10/10 steps" in people.stderr, "1 epoch of 60 images, 6 a step"


def test_the_protocol_decides_how_networks_are_trained(run: Callable, memory: Path) -> None:
    result = run("eval", memory, "--data", FAKE, "--runs", 1, "--protocol", "rtp")
    assert result.exit_code == 0, result.stderr
    assert "300/300 steps" in result.stderr
    assert run("eval", memory, "--data", FAKE, "--protocol", "best").exit_code == 2


def test_the_seed_decides_the_figures(run: Callable, memory: Path) -> None:
    args = ["eval", memory, "--data", FAKE, "--json", "--seed"]
    first, again, other = (json.loads(run(*args, seed).stdout)["results"] for seed in (1, 1, 2))
    assert first == again != other


def test_a_gate_prints_the_figures_and_exits_7(run: Callable, memory: Path) -> None:
    args = ["eval", memory, "--data", FAKE, "--json", "-q", "--min-accuracy"]
    reached = json.loads(run(*args, 0).stdout)["results"][0]["accuracy"]["mean"]
    assert 0 < reached < 1
    passed, missed = run(*args, reached), run(*args, reached + 0.001)
    assert (passed.exit_code, passed.stderr) == (0, "")
    assert missed.exit_code == 7
    assert json.loads(missed.stdout)["results"][0]["accuracy"]["mean"] == reached
    assert missed.stderr.count("\n") == 1
    assert missed.stderr.startswith(f"memcli: error: mlp:width=8 reached an accuracy of {reached:.4f}, below")


def test_what_a_source_guesses_is_told(run: Callable, memory: Path, tmp_path: Path) -> None:
    assert run("recall", memory, "-o", tmp_path / "set", "-q").exit_code == 0
    result = run("eval", memory, "--data", tmp_path / "set", "--runs", 1)
    assert result.exit_code == 0, result.stderr
    assert f"memcli: {tmp_path / 'set'} is read as imagefolder:" in result.stderr
    quiet = run("eval", memory, "--data", tmp_path / "set", "--runs", 1, "-q")
    assert quiet.stderr == ""
