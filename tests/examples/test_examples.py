"""Each script of examples/ is short, explains itself, and runs."""

import ast
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import RECIPE, write_images

import memcli

FOLDER = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs of cats and dogs, a memory of them, and a quick recipe."""
    folder = tmp_path_factory.mktemp("examples")
    write_images(folder / "photos")
    (folder / "quick.toml").write_text(RECIPE)
    memcli.distill(folder / "photos", folder / "m.safetensors", recipe=str(folder / "quick.toml"), device="cpu")
    return folder


Told = Callable[..., str]


@pytest.fixture
def told(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs a script in that folder, and gives what it prints."""
    monkeypatch.chdir(folder)

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        with torch.random.fork_rng(devices=[]):  # a user's script may draw as it likes
            runpy.run_path(str(FOLDER / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_a_folder_is_distilled_and_measured(told: Told, folder: Path) -> None:
    text = told("distil_folder.py", "photos", "new.safetensors", "--recipe", "quick.toml", "--time-budget", "2s")
    assert text.startswith("2 classes of ")
    assert "trained on memory: " in text
    assert "trained on random: " in text
    assert memcli.load(folder / "new.safetensors").spec.data.classes == ("cat", "dog")


def test_plain_pytorch_trains_on_a_memory(told: Told) -> None:
    assert " % of 4 test images" in told("plain_pytorch.py", "m.safetensors", "photos", "2")


def test_mixtures_are_a_grid(told: Told, folder: Path) -> None:
    told("mixture.py", "m.safetensors", "cat", "dog", "grid.png", "--lines", "3", "--columns", "2")
    columns = min(2, memcli.load(folder / "m.safetensors").spec.rows)
    with Image.open(folder / "grid.png") as grid:
        assert grid.size == (columns * 9 + 1, 3 * 9 + 1)


def test_a_network_of_a_plug_in_is_trained(told: Told) -> None:
    assert told("plugin_network.py", "m.safetensors", "photos").startswith("tiny[:width=64]: ")


def test_tasks_are_learned_one_at_a_time(told: Told, folder: Path) -> None:
    small = (
        "--data",
        "fake:classes=3,n=120,test=30,shape=1x8x8",
        "--stream",
        "permutations:tasks=2,images=40,memory=10",
    )
    assert told("continual.py", "out", *small, "--steps", "20").startswith("after all tasks: ")
    assert len(list((folder / "out").glob("task-*.safetensors"))) == 2


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short_and_says_how_it_is_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
    assert f"python examples/{path.name} " in (ast.get_docstring(ast.parse(text)) or "")


def test_every_script_is_run_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in SCRIPTS if f'told("{path.name}"' not in text] == []
