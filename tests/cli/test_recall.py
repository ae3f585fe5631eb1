"""`memcli recall`."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from PIL import Image

from memcli.cli import recall
from memcli.files import container


def test_json_holds_the_promised_keys(run: Callable, memory: Path, tmp_path: Path) -> None:
    result = run("recall", memory, "-o", tmp_path / "out", "--json", "--device", "cpu")
    assert (result.exit_code, result.stdout.count("\n")) == (0, 1)
    found = json.loads(result.stdout)
    assert found.keys() == recall.JSON.keys()
    assert (found["output"], found["format"]) == (str(tmp_path / "out"), "png")
    assert (found["images"], found["shape"]) == (12, [1, 8, 8])
    assert 0 < found["clipped_share"] < 1
    assert len(list((tmp_path / "out" / "train").rglob("*.png"))) == 12
    assert re.fullmatch(r"memcli: recall: 12/12 images, done in \d+\.\d s\n", result.stderr)


def test_lines_for_people(run: Callable, memory: Path, tmp_path: Path) -> None:
    result = run("recall", memory, "-o", tmp_path / "out", "-q")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "images   12 of 1x8x8\n" in result.stdout
    assert "% of the values lie outside [0, 1]" in result.stdout


@pytest.mark.parametrize(
    ("name", "wanted"), [("a.npz", "npz"), ("a.NPZ", "npz"), ("a.safetensors", "safetensors"), ("a", "png")]
)
def test_the_format_follows_the_suffix(name: str, wanted: str, run: Callable, memory: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / name
    path.parent.mkdir()
    assert json.loads(run("recall", memory, "-o", path, "--json").stdout)["format"] == wanted
    if wanted == "npz":
        with numpy.load(path) as arrays:
            assert arrays["images"].shape == (12, 1, 8, 8)
    elif wanted == "safetensors":
        assert container.read(path, kind="recalled")[1]["images"].shape == (12, 1, 8, 8)
    else:
        assert path.is_dir()


def test_a_format_that_is_named_wins(run: Callable, memory: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    assert run("recall", memory, "-o", path, "--format", "safetensors").exit_code == 0
    assert container.read(path, kind="recalled")[1]["rows"].tolist() == [0, 1, 2, 3] * 3


def test_queries_rows_chunks_and_the_preview(run: Callable, memory: Path, tmp_path: Path) -> None:
    args = ["recall", memory, "-o", tmp_path / "a.npz", "--query", "2", "--query", "0:0.5,1:0.5", "--per-class", 3]
    result = run(*args, "--chunk", 1, "-v", "--preview", tmp_path / "p.png")
    assert result.exit_code == 0, result.stderr
    with numpy.load(tmp_path / "a.npz") as arrays:
        assert arrays["labels"].tolist() == [2, 2, 2, -1, -1, -1]
    assert result.stderr.count("memcli: recall: ") == 6 + 1, "one line for each chunk and one for the end"
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size == (4 * 34 - 2, 3 * 34 - 2)


def test_outputs_are_replaced_by_force(run: Callable, memory: Path, tmp_path: Path) -> None:
    args = ["recall", memory, "-o", tmp_path / "out", "--preview", tmp_path / "p.png"]
    assert [run(*args, *more).exit_code for more in ([], [], ["--force"])] == [0, 8, 0]


def test_no_escape_codes_when_piped(memcli: Callable, memory: Path) -> None:
    for args in (["recall", memory, "-o", "out"], ["inspect", "none"]):
        result = memcli(*args)
        assert "\x1b" not in result.stdout + result.stderr
