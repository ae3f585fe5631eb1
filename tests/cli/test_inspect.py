"""`memcli inspect`."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memcli.cli import inspect
from memcli.files import inspection, memoryfile


def test_json_holds_the_promised_keys(run: Callable, memory: Path) -> None:
    result = run("inspect", memory, "--json")
    assert (result.exit_code, result.stderr, result.stdout.count("\n")) == (0, "", 1)
    found = json.loads(result.stdout)
    assert found.keys() == inspect.JSON.keys()
    read = memoryfile.read(memory)
    assert found["data"]["classes"] == ["0", "1", "2"]
    assert found["size"] == read.memory.spec.size()
    assert found["size"].keys() == {"floats", "bytes", "bits_per_class", "recalled_per_class", "ipc"}
    assert found["recipe"] == {"name": "quick", "outer": {"lr": 0.02}}
    assert found["retrain"] == read.manifest.retrain.to_json()
    assert found["provenance"] == read.manifest.provenance
    assert found["sha256"] == inspection.inspect(memory).sha256
    assert found["file_bytes"] == memory.stat().st_size
    assert (found["seed"], found["format"], found["results"]) == (7, 1, {"validation": 0.5})


def test_lines_for_people(run: Callable, memory: Path) -> None:
    result = run("inspect", memory)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["memory"] == "3 bases at scale 2, 4 rows, stored as float32"
    assert lines["data"] == "fake, 1x8x8, 3 classes: 0, 1, 2"
    assert lines["labels"] == "of the classes"
    assert lines["recipe.outer.lr"] == "0.02"
    assert lines["size"] == "336 bytes, 84 floats, 896 bits per class"
    assert lines["recalls"] == "4 images per class, from the floats of 0.438 images per class"


def test_storage_labels_and_scales_are_told_and_counted(run: Callable, make_memory: Callable) -> None:
    path = make_memory(storage="int8", labels="row")
    lines = dict(line.split(maxsplit=1) for line in run("inspect", path).stdout.splitlines())
    assert lines["memory"] == "3 bases at scale 2, 4 rows, stored as int8"
    assert lines["labels"] == "learned, one for each image"
    assert lines["size"] == "138 bytes, 129 floats, 368 bits per class"  # 48 + 36 + 36 codes and 9 scales
    assert json.loads(run("inspect", path, "--json").stdout)["memory"] == {
        "bases": 3,
        "scale": 2,
        "rows": 4,
        "storage": "int8",
        "labels": "row",
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_text_from_the_file_cannot_reach_the_terminal_raw(as_json: bool, run: Callable, make_memory: Callable) -> None:
    path = make_memory(classes=("\x1b[31mred", "[bold]b[/bold]", "a\nb"), name="\u202edata", source="\x07[link=x]")
    result = run("inspect", path, *(["--json"] if as_json else []))
    assert result.exit_code == 0
    assert not set(result.stdout) & {"\x1b", "\x07", "\u202e"}
    if not as_json:
        assert "3 classes: \\x1b[31mred, [bold]b[/bold], a\\nb" in result.stdout
        assert "\\x07[link=x]" in result.stdout


def test_inspect_changes_nothing(run: Callable, memory: Path) -> None:
    before = hashlib.sha256(memory.read_bytes()).hexdigest()
    run("inspect", memory)
    assert hashlib.sha256(memory.read_bytes()).hexdigest() == before
