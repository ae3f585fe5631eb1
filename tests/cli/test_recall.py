"""`memcli recall`."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from PIL import Image

from memcli.cli import recall
from memcli.exporters import EXPORTERS
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
    assert "images         12 of 1x8x8\n" in result.stdout
    assert "% of the values lie outside [0, 1]" in result.stdout


@pytest.mark.parametrize(
    ("args", "advice"),
    [
        (["-o", "out"], "costs accuracy, since values are clipped (docs/pictures.md): --encode range, npz and saf"),
        (
            ["-o", "out", "--encode", "range"],
            "good with the transforms that memcli.json holds, which undo the encoding",
        ),
        (["-o", "out.npz"], "good: values are as they were recalled"),
    ],
)
def test_it_says_whether_the_output_is_good_to_train_from(
    args: list[str], advice: str, run: Callable, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"to train from  {advice}" in run("recall", memory, *args, "-q").stdout


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        *(("a.npz", "npz"), ("a.NPZ", "npz"), ("a.safetensors", "safetensors"), ("a", "png"), ("v1.0/", "png")),
        ("my photos/", "png"),
    ],
)
def test_the_format_follows_the_suffix(name: str, wanted: str, run: Callable, memory: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    assert json.loads(run("recall", memory, "-o", f"{tmp_path}/{name}", "--json").stdout)["format"] == wanted
    if wanted == "npz":
        with numpy.load(path) as arrays:
            assert arrays["images"].shape == (12, 1, 8, 8)
    elif wanted == "safetensors":
        assert container.read(path, kind="recalled")[1]["images"].shape == (12, 1, 8, 8)
    else:
        assert path.is_dir()
        again = run("recall", memory, "-o", path, "--force", "--json")
        assert json.loads(again.stdout)["format"] == "png", "the folder is there, and needs no slash"


def test_an_unknown_suffix_is_refused(run: Callable, memory: Path, tmp_path: Path) -> None:
    result = run("recall", memory, "-o", tmp_path / "a.jpg")
    assert result.exit_code == 2
    suffixes = ", ".join(kind.suffix for kind in EXPORTERS.values() if kind.suffix)
    told = (
        f"no format has the suffix '.jpg'. End --output in {suffixes}, or in / for a folder of PNGs; or give --format."
    )
    assert told in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == [memory]


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
        assert picture.width > 4 * 64
        assert 2 * 64 < picture.height < 3 * 64, "a line for each query"


def test_outputs_are_replaced_by_force(run: Callable, memory: Path, tmp_path: Path) -> None:
    args = ["recall", memory, "-o", tmp_path / "out", "--preview", tmp_path / "p.png"]
    assert [run(*args, *more).exit_code for more in ([], [], ["--force"])] == [0, 8, 0]


@pytest.mark.parametrize("args", [["-o", "{}", "--format", "npz"], ["-o", "a.npz", "--preview", "{}"]])
def test_the_memory_itself_is_never_replaced(
    args: list[str], run: Callable, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = memory.read_bytes()
    result = run("recall", memory, *(arg.format(memory) for arg in args), "--force")
    assert result.exit_code == 2
    assert "is named twice, and would be lost if written to. Choose another --output." in result.stderr
    assert memory.read_bytes() == before


def test_no_escape_codes_when_piped(memcli: Callable, memory: Path) -> None:
    for args in (["recall", memory, "-o", "out"], ["inspect", "none"]):
        result = memcli(*args)
        assert "\x1b" not in result.stdout + result.stderr
