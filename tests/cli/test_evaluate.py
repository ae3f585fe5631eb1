"""`memcli eval`."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from memcli.cli import evaluate
from memcli.errors import DivergedError
from memcli.files import memoryfile
from memcli.jobs.baselines import BASELINES, Baseline
from memcli.jobs.baselines.base import Comparison
from memcli.training.loop import Batch
from memcli.training.recipe import TrainRecipe

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
    assert (found["classes"], sum(found["test_images"]), found["complete"]) == (["0", "1", "2"], 30, True)


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
    args = ["eval", memory, "--data", FAKE, "--runs", 1, "--baselines", "random"]
    result = run(*args, "--protocol", "own, rtp")
    assert result.exit_code == 0, result.stderr
    assert "memory, rtp, run 1 of 1: 300/300 steps" in result.stderr
    lines = dict(re.split("  +", line, maxsplit=1) for line in result.stdout.splitlines())
    for protocol in ("own", "rtp"):
        figures = r"memory \d+\.\d\d % \(n = 1\), random \d+\.\d\d % \(n = 1\)"
        assert re.fullmatch(figures, lines[f"{protocol}, mlp:width=8"]), "what stands side by side was trained alike"
    assert not {"accuracy, mlp:width=8", "random images, mlp:width=8"} & lines.keys()
    assert run("eval", memory, "--data", FAKE, "--protocol", "best").exit_code == 2
    nothing = run("eval", memory, "--data", FAKE, "--protocol", "")
    assert (nothing.exit_code, "Choose --protocol from own, rtp, idc" in nothing.stderr) == (2, True)


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


def test_the_worst_classes_and_what_they_are_taken_for_are_told(run: Callable, memory: Path) -> None:
    args = ["eval", memory, "--data", FAKE, "--runs", 2]
    figures = json.loads(run(*args, "--json").stdout)
    worst = min(figures["results"][0]["per_class"])
    people = run(*args).stdout
    lines = dict(re.split("  +", line, maxsplit=1) for line in people.splitlines())
    assert lines["always one class"] == f"{100 * figures['majority']:.2f} %"
    assert f"({100 * worst:.1f} %)" in lines["worst, mlp:width=8"].split(",")[0]
    assert " as " in lines["confused, mlp:width=8"]
    everything = run(*args, "-v").stdout
    assert [f"\n{name}, mlp:width=8" in everything for name in figures["classes"]] == [True] * 3
    assert ", taken for " in everything


def _instead_of_full(patch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Let something happen before each training of the baseline `full`, which is that of `random`."""

    def training(given: Comparison) -> tuple[TrainRecipe, Batch]:
        happens()
        return BASELINES["random"].training(given)

    patch.setitem(BASELINES._loaded, "full", Baseline("with a mishap", training))


def test_what_was_measured_before_a_failure_is_printed(run: Callable, memory: Path) -> None:
    def fail() -> None:
        raise DivergedError("numbers are not finite", do="Train at a lower rate")

    args = ["eval", memory, "--data", FAKE, "--runs", 2]
    whole = json.loads(run(*args, "--json").stdout)
    with pytest.MonkeyPatch.context() as patch:
        _instead_of_full(patch, fail)
        failed, people = run(*args, "--baselines", "full", "--json"), run(*args, "--baselines", "full")
    part = json.loads(failed.stdout)
    assert (failed.exit_code, part["complete"], part["baselines"]) == (6, False, {})
    assert part["results"] == whole["results"]
    assert people.stdout.splitlines()[-1].split("  ")[0] == "incomplete"
    assert run(*args, "--baselines", "none").stdout == "", "nothing was measured"


def test_a_signal_prints_what_was_measured_and_exits_75(run: Callable, memory: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        _instead_of_full(patch, lambda: signal.raise_signal(signal.SIGINT))
        stopped = run("eval", memory, "--data", FAKE, "--runs", 2, "--baselines", "full", "--json")
    found = json.loads(stopped.stdout)
    assert (stopped.exit_code, found["complete"], found["results"][0]["accuracy"]["n"]) == (75, False, 2)
    assert re.search(r" of 4 trainings, kept in .*\. Give the same command again, or fewer --runs", stopped.stderr)
