"""`memcli inspect`."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from memcli.cli import _pictures, inspect
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
    assert found["verified"] is True
    assert (found["seed"], found["format"], found["results"]) == (7, 2, {"validation": 0.5})


def test_lines_for_people(run: Callable, memory: Path) -> None:
    result = run("inspect", memory)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["memory"] == "3 bases at scale 2, 4 rows, stored as float32"
    assert lines["data"] == "fake, 1x8x8, 3 classes: 0, 1, 2"
    assert lines["labels"] == "of the classes"
    assert lines["recipe"] == "quick, seed 7; --verbose prints it"
    assert lines["retrain"] == "mlp:width=8, 3 steps of 6 images, rate 0.05"
    assert "recipe.outer.lr" not in lines
    assert lines["size"] == "336 bytes, 84 floats, 896 bits per class"
    assert lines["recalls"] == "4 images per class, from the floats of 0.438 images per class"


def test_where_classes_are_more_than_a_batch_a_step_has_an_image_of_each(run: Callable, make_memory: Callable) -> None:
    memory = make_memory(classes=tuple("abcdefgh"))
    assert "3 steps of 8 images, rate 0.05" in run("inspect", memory).stdout


def test_a_large_file_is_not_read_to_its_end_unless_its_checksum_is_asked_for(
    run: Callable, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = inspection.inspect(memory).sha256
    content = memory.read_bytes()
    memory.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert run("inspect", memory).exit_code == 4
    monkeypatch.setattr(inspect, "_READ", memory.stat().st_size - 1)
    told = run("inspect", memory)
    assert told.exit_code == 0
    assert "format 2, its header is valid, its numbers were not read: `memcli verify` does that" in told.stdout
    found = json.loads(run("inspect", memory, "--json").stdout)
    assert (found["verified"], found["sha256"]) == (False, sha256)
    assert run("inspect", memory, "--expect-sha256", sha256).exit_code == 4
    monkeypatch.setattr(_pictures, "can_draw", lambda: True)
    assert run("inspect", memory).exit_code == 0, "no pictures of it"
    assert run("inspect", memory, "--pictures").exit_code == 4
    assert run("inspect", memory.parent / "none").exit_code == 4


def test_verbose_lines_have_every_setting_of_the_recipe(run: Callable, memory: Path) -> None:
    lines = dict(line.split(maxsplit=1) for line in run("inspect", memory, "-v").stdout.splitlines())
    assert lines["recipe.outer.lr"] == "0.02"
    assert lines["retrain.batch"] == str(memoryfile.read(memory).manifest.retrain.batch)


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


def test_pictures_are_drawn_where_the_terminal_can_and_nowhere_else(run: Callable, memory: Path) -> None:
    assert "▀" not in run("inspect", memory).stdout
    refused = run("inspect", memory, "--pictures")
    assert refused.exit_code == 2
    assert "shows colours, and not in JSON. Leave out --pictures, or see" in refused.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_pictures, "can_draw", lambda: True)
        drawn = run("inspect", memory).stdout
        assert drawn.count("▀") == 3 * 8 * 4, "three images of 8x8"
        assert drawn.splitlines()[-1].split() == ["0", "1", "2"]
        assert "▀" not in run("inspect", memory, "--no-pictures").stdout
        assert "▀" not in run("inspect", memory, "--json").stdout
        assert run("inspect", memory, "--json", "--pictures").exit_code == 2


@pytest.mark.parametrize(
    ("environment", "can"),
    [
        ({"COLORTERM": "truecolor", "TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "dumb"}, False),
        ({"COLORTERM": "truecolor", "TERM": "xterm-256color", "NO_COLOR": "1"}, False),
    ],
)
def test_a_terminal_can_draw_where_it_shows_colours(
    environment: dict[str, str], can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COLORTERM", "TERM", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        assert _pictures.can_draw() == can
        monkeypatch.undo()
    os.close(master)


def test_a_half_block_is_two_pixels_and_large_images_are_made_smaller() -> None:
    image = numpy.arange(3 * 2 * 3, dtype="uint8").reshape(3, 2, 3)
    lines = _pictures.half_blocks(image)
    assert [line.plain for line in lines] == ["▀▀", "▀▀"]
    assert lines[0].spans[0].style == "rgb(0,1,2) on rgb(6,7,8)"
    assert lines[1].spans[1].style == "rgb(15,16,17) on rgb(15,16,17)", "the last line of an odd number"
    assert [len(line) for line in _pictures.half_blocks(numpy.zeros((64, 32, 1), "uint8"))] == [8] * 8
