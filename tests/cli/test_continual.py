"""`memcli continual`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memcli.cli import continual
from memcli.files import memoryfile

SMALL = "permutations:tasks=2,images=40,memory=10"
FAKE = "fake:classes=3,shape=1x8x8,n=120,test=30"


def test_json_holds_the_promised_keys_and_a_resumed_run_repeats_them(run: Callable, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    args = ["continual", SMALL, "--data", FAKE, "-o", out, "--runs", 2, "--steps", 30, "--json"]
    result = run(*args)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found.keys() == continual.JSON.keys()
    assert (found["benchmark"], found["tasks"], found["output"]) == (SMALL, 2, str(out))
    for key in ("ra", "la", "bti", "joint", "random"):
        assert found[key].keys() == {"mean", "std", "n"}
        assert found[key]["n"] == 2
    matrix = found["matrix"]
    assert matrix[0][1] is None
    assert found["ra"]["mean"] == pytest.approx(sum(matrix[1]) / 2)
    assert found["la"]["mean"] == pytest.approx((matrix[0][0] + matrix[1][1]) / 2)
    assert found["bti"]["mean"] == pytest.approx(found["ra"]["mean"] - found["la"]["mean"])
    memories = [memoryfile.read(path) for path in sorted((out / "seed-1").glob("task-*.safetensors"))]
    assert sum(each.manifest.spec.floats for each in memories) == found["memory_floats"] <= 10 * 64
    assert sum(each.manifest.spec.bytes for each in memories) == found["memory_bytes"]
    assert all((out / name).read_text().startswith("<svg") for name in ("matrix.svg", "curve.svg"))

    refused = run(*args)
    assert refused.exit_code == 8
    assert "seed-1 holds a finished stream. Add --resume to be told its figures, or --force" in refused.stderr
    again = json.loads(run(*args, "--resume").stdout)
    assert {**again, "seconds": 0} == {**found, "seconds": 0}


def test_people_read_lines(run: Callable, tmp_path: Path) -> None:
    result = run(
        "continual",
        f"split:{FAKE.replace('3', '4', 1)}:2",
        "-o",
        tmp_path / "out",
        "--steps",
        2,
        "--network",
        "mlp:width=8",
    )
    assert result.exit_code == 0, result.stderr
    assert [line.split("  ")[0] for line in result.stdout.splitlines()][:4] == ["benchmark", "RA", "LA", "BTI"]
    assert "seed 0: RA" in result.stderr


def test_the_network_may_be_chosen(run: Callable, tmp_path: Path) -> None:
    args = ["continual", SMALL, "--data", FAKE, "-o", tmp_path / "out", "--steps", 5, "--network", "mlp:width=8"]
    assert run(*args).exit_code == 0
    assert memoryfile.read(tmp_path / "out/seed-0/task-001.safetensors").manifest.retrain.network == "mlp:width=8"


@pytest.mark.parametrize("args", [[SMALL], ["split:fake:2", "--data", FAKE]])
def test_the_source_is_given_once(args: list[str], run: Callable, tmp_path: Path) -> None:
    result = run("continual", *args, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "Give --data SOURCE, or split:SOURCE:N" in result.stderr


def test_the_benchmark_of_cifar100_runs_on_any_source_of_many_classes(run: Callable, tmp_path: Path) -> None:
    args = ["cifar100:classes=5,memory=20", "--data", "fake:classes=10,shape=3x8x8,n=300,test=150"]
    small = ["--network", "strided:channels=8,hidden=32", "--steps", 400]
    result = run("continual", *args, *small, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["tasks"] == 2
    assert found["memory_floats"] <= 20 * 3 * 8 * 8
    assert found["ra"]["mean"] > 0.3, "five classes are told apart, so guessing gives 0.2"
    classes = [memoryfile.read(path).manifest.spec.data.classes for path in sorted(tmp_path.glob("out/*/task-*"))]
    assert [len(each) for each in classes] == [5, 5]
    assert len({name for each in classes for name in each}) == 10
