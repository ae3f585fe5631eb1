"""`memcli distill`: what it prints, what it writes, what it refuses, and how it is stopped and continued."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
from typer.main import get_command

from memcli.cli import distill
from memcli.cli.app import app
from memcli.distillation.recipe import RECIPES
from memcli.distillation.toml import to_toml
from memcli.files import inspection
from memcli.memory.storage import STORAGES

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(to_toml(tiny.recipe(4)))
    return path


@pytest.fixture
def start(run: Callable, recipe: Path, tmp_path: Path) -> Callable:
    """`distill FAKE -o f.safetensors --recipe tiny.toml` with more arguments."""

    def invoke(*args: object, source: str = FAKE, output: Path = tmp_path / "f.safetensors") -> object:
        return run("distill", source, "-o", output, "--recipe", recipe, *args)

    return invoke


def test_json_holds_the_promised_keys(start: Callable, tmp_path: Path) -> None:
    result = start("--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found.keys() == distill.JSON.keys()
    read = inspection.inspect(tmp_path / "f.safetensors")
    assert found["sha256"] == read.sha256
    assert found["size"] == read.manifest.spec.size()
    assert found["size"]["floats"] <= 3 * 64
    assert (found["steps"], found["memory"]) == (4, str(tmp_path / "f.safetensors"))
    assert 0 <= found["validation"]["accuracy"] <= 1


def test_the_run_folder_holds_figures_status_and_a_picture(start: Callable, tmp_path: Path) -> None:
    start()
    folder = tmp_path / "f.safetensors.run"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 2, 4]
    assert json.loads((folder / "status.json").read_text())["state"] == "done"
    assert (folder / "preview.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "settings.json").read_text())["recipe"]["name"] == "tiny"


def test_people_are_told_the_size_the_accuracy_and_what_to_type_next(start: Callable, tmp_path: Path) -> None:
    shown = start().stdout
    for part in (
        "floats",
        "bits per class",
        "validation",
        "4 outer steps",
        f"memcli eval {tmp_path}/f.safetensors --data {FAKE}",
    ):
        assert part in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--bases", 3], {"bases": 3, "scale": 2}),
        (["--rows", 2], {"rows": 2}),
        (["--scale", 4], {"scale": 4}),
        (["--cells", 20], {"cells": 20, "scale": 1}),
        (["--support", 2, "--bases", 5], {"support": 2, "bases": 5}),
        (["--storage", "float16"], {"storage": "float16"}),
        (["--seed", 5], {"seed": 5}),
        (["--ipc", 2], {"ipc": 2}),
        (["--budget", "1KB"], {"bytes": 1000}),
        (["--budget", "1KB", "--storage", "float16"], {"bytes": 1000}),
        (["--budget", "1ipc", "--storage", "int8"], {"bytes": 4 * 3 * 64, "storage": "int8"}),
        (["--labels", "class"], {"labels": "class"}),
        (["--labels", "row", "--storage", "int4"], {"labels": "row", "storage": "int4"}),
        (["--steps", 2], {"steps": 2}),
        (["--licence", "MIT"], {"licence": "MIT"}),
        (["--zca"], {"whitened": True}),
        (["--bfloat16"], {"precision": "bfloat16"}),
        (["--no-bfloat16", "--device", "cpu"], {"precision": "float32"}),
    ],
)
def test_every_option_changes_the_file(start: Callable, tmp_path: Path, arguments: list, told: dict) -> None:
    assert start(*arguments).exit_code == 0
    manifest = inspection.inspect(tmp_path / "f.safetensors").manifest
    size = manifest.spec.size()
    found = {**manifest.spec.to_json(), "seed": manifest.seed, "steps": manifest.recipe["steps"]}
    found |= {name: manifest.provenance[name] for name in ("licence", "precision")}
    found["whitened"] = bool(manifest.spec.data.zca)
    for key, value in told.items():
        if key in ("ipc", "bytes"):
            assert 0.8 * value < size[key] <= value
        else:
            assert found[key] == value


def test_tuning_tells_what_it_tried_and_goes_on_with_the_best(start: Callable, tmp_path: Path) -> None:
    result = start("--tune", "--json", "--ipc", 2)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)["tuned"]
    spec = inspection.inspect(tmp_path / "f.safetensors").manifest.spec
    assert {key: found[0][key] for key in ("bases", "scale", "rows")} == {
        "bases": spec.bases,
        "scale": spec.scale,
        "rows": spec.rows,
    }
    assert len(found) > 2
    assert "of validation after" in result.stderr
    again = start("--tune", "--json", "--ipc", 2, "--resume", "--force")
    assert again.exit_code == 0, again.stderr
    assert inspection.inspect(tmp_path / "f.safetensors").manifest.spec == spec
    assert json.loads(start("--tune", "--json", "--ipc", 2, output=tmp_path / "g.safetensors").stdout)["tuned"] == found


def test_a_time_budget_ends_the_run(start: Callable) -> None:
    found = json.loads(start("--time-budget", "0.001s", "--json").stdout)
    assert found["steps"] == 0


def test_two_runs_with_one_seed_give_one_file(start: Callable, tmp_path: Path) -> None:
    for name in ("a", "b"):
        start(output=tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_dry_run_tells_the_plan_and_writes_nothing(start: Callable, tmp_path: Path) -> None:
    found = json.loads(start("--dry-run", "--json").stdout)
    assert found["recipe"]["stages"][0]["objective"]["steps"] == 3
    assert found["size"]["floats"] > 0
    assert found["seconds"] > 0
    assert found["peak_bytes"] > 0
    assert found["seconds"] == pytest.approx(sum(found["parts"].values()))
    assert found["images"] == {"train": [18, 18, 18], "validation": [2, 2, 2], "test": [10, 10, 10]}
    shown = start("--dry-run").stdout
    assert shown.count("\n") == 10
    for part in ("classes", "images", "size", "peak memory", "s a step", "of which     reading"):
        assert part in shown
    assert "recipe.stages.1.outer.lr" in start("--dry-run", "--verbose").stdout
    assert not (tmp_path / "f.safetensors").exists()
    assert not (tmp_path / "f.safetensors.run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--ipc", 1, "--budget", "1KB"], 2, "both --ipc and --budget are given. Give one of them."),
        (["--ipc", 0], 2, "--ipc is 0. Give a positive number of images per class."),
        (["--ipc", "nan"], 2, "--ipc is nan."),
        (["--ipc", 0.01], 2, "is too small for 1 bases of 1x4x4 and 1 rows, which need 19."),
        (["--budget", "many"], 2, "'many' is no size. Write it as 30KB, 2MiB or 1ipc."),
        (["--time-budget", "soon"], 2, "'soon' is no time. Write it as 90s, 5m or 1.5h."),
        (["--storage", "float8"], 2, "unknown storage 'float8'. Choose --storage from float32, float16, int8, int4."),
        (["--labels", "soft"], 2, "unknown labels 'soft'. Choose --labels from fixed, class, row."),
        (
            ["--tune", "--bases", 2],
            2,
            "--tune chooses bases, scale, cells and rows, and no support. Leave out --bases",
        ),
        (["--cells", 20, "--scale", 2], 2, "20 cells at scale 2. Give 1 to 64 cells at scale 1, or 0 for none."),
        (["--scale", 3], 2, "scale 3 does not divide 8x8 images."),
        (["--recipe", "fast"], 2, "unknown recipe 'fast'."),
        (["--image-size", 8], 2, "images of fake: cannot be resized."),
    ],
)
def test_wrong_requests_get_one_line(start: Callable, arguments: list, code: int, message: str) -> None:
    result = start(*arguments)
    assert result.exit_code == code
    errors = [line for line in result.stderr.splitlines() if line.startswith("memcli: error:")]
    assert len(errors) == 1
    assert message in errors[0]


def test_wrong_sources_get_one_line(start: Callable, tmp_path: Path) -> None:
    for source, code in (("nosuch:x", 2), (str(tmp_path / "gone"), 3), ("npz:gone.npz", 3)):
        result = start(source=source)
        assert result.exit_code == code
        assert result.stderr.splitlines()[-1].startswith("memcli: error: ")  # after what it was doing


def test_an_output_that_exists_is_kept_unless_forced(start: Callable, tmp_path: Path) -> None:
    start()
    before = (tmp_path / "f.safetensors").read_bytes()
    refused = start("--seed", 1)
    assert refused.exit_code == 8
    assert "exists" in refused.stderr
    assert (tmp_path / "f.safetensors").read_bytes() == before
    assert start("--seed", 1, "--force").exit_code == 0
    assert (tmp_path / "f.safetensors").read_bytes() != before


def test_resuming_with_other_settings_is_refused_by_name(start: Callable, tmp_path: Path) -> None:
    start()
    (tmp_path / "f.safetensors").unlink()
    result = start("--resume", "--seed", 9)
    assert result.exit_code == 2
    assert "the run was started with other settings: --seed 0, not 9. Give the same settings to" in result.stderr
    again = start("--seed", 9, "--ipc", 2)
    assert again.exit_code == 8
    told = "f.safetensors.run exists from an earlier run with other settings: --ipc; --seed 0, not 9. Give the same"
    assert told in again.stderr


def test_more_steps_may_be_asked_of_a_finished_run(start: Callable, tmp_path: Path) -> None:
    start("--steps", 2)
    found = json.loads(start("--steps", 4, "--resume", "--force", "--json").stdout)
    assert found["steps"] == 4
    lines = (tmp_path / "f.safetensors.run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 2, 4]


def test_a_run_that_diverges_leaves_its_best_memory_and_exits_6(start: Callable, recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(to_toml(tiny.recipe(4, lr=1e30)))
    result = start()
    assert result.exit_code == 6
    assert "training diverged. The best memory before that is in" in result.stderr
    assert inspection.inspect(tmp_path / "f.safetensors")
    assert json.loads((tmp_path / "f.safetensors.run" / "status.json").read_text())["state"] == "failed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_run_and_resume_ends_with_the_same_bytes(
    number: signal.Signals, start: Callable, recipe: Path, tmp_path: Path
) -> None:
    recipe.write_text(to_toml(tiny.recipe(400, check_every=100)))
    start(output=tmp_path / "whole.safetensors")
    command = [sys.executable, "-m", "memcli", "distill", FAKE, "-o", "f.safetensors", "--recipe", str(recipe), "-v"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MEMCLI_")}
    with subprocess.Popen(command, cwd=tmp_path, env=clean, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "best look" not in process.stderr.readline():  # the loop has begun
            assert process.poll() is None
        process.send_signal(number)
        errors = process.stderr.read()
    assert process.returncode == 75, errors
    assert "the same command again to continue" in errors.splitlines()[-1]
    assert json.loads((tmp_path / "f.safetensors.run" / "status.json").read_text())["state"] == "interrupted"
    assert not (tmp_path / "f.safetensors").exists()
    assert start("--resume").exit_code == 0
    assert (tmp_path / "f.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_a_killed_run_is_continued_from_its_last_checkpoint(start: Callable, recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(to_toml(tiny.recipe(60, check_every=5)))
    start(output=tmp_path / "whole.safetensors")
    command = [sys.executable, "-m", "memcli", "distill", FAKE, "-o", "f.safetensors", "--recipe", str(recipe), "-q"]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        while not (tmp_path / "f.safetensors.run" / "checkpoint-00000010.safetensors").exists():
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        process.kill()
    assert start("--resume", "--force").exit_code == 0
    assert (tmp_path / "f.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_the_help_names_every_recipe_and_every_storage() -> None:
    shown = {option.name: option.help or "" for option in get_command(app).commands["distill"].params}
    assert all(name in shown["recipe"] for name in RECIPES)
    assert all(name in shown["storage"] for name in STORAGES)
