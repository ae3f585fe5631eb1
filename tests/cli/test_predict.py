"""`memcli predict` and `memcli export`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from memcli.cli import export, predict


@pytest.fixture
def net(run: Callable, memory: Path, tmp_path: Path) -> Path:
    """Weights for grey 8x8 images of the classes 0, 1 and 2."""
    assert run("retrain", memory, "-o", tmp_path / "net.safetensors").exit_code == 0
    return tmp_path / "net.safetensors"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(np.arange(300, dtype="uint8").reshape(10, 10, 3)).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def test_predict_tells_class_and_probabilities(run: Callable, net: Path, photo: Path) -> None:
    result = run("predict", net, photo, photo, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found.keys() == predict.JSON.keys()
    assert [each["file"] for each in found["images"]] == [str(photo)] * 2
    first = found["images"][0]
    assert first.keys() == {"file", "class", "probability", "probabilities"}
    assert set(first["probabilities"]) == {"0", "1", "2"}
    assert first["probability"] == first["probabilities"][first["class"]]
    people = run("predict", net, photo)
    assert people.stdout.startswith(f"{photo}  {first['class']} {100 * first['probability']:.2f} %, ")


def test_predict_names_damaged_images_after_it_told_of_the_others(run: Callable, net: Path, photo: Path) -> None:
    bad = photo.with_name("bad.png")
    bad.write_text("no image")
    result = run("predict", net, bad, photo)
    assert result.exit_code == 3
    assert str(photo) in result.stdout
    assert "bad.png cannot be read: not an image" in result.stderr
    alone = run("predict", net, bad, "--json")
    assert (alone.exit_code, json.loads(alone.stdout)["images"]) == (3, [])


def test_export_writes_a_program_and_tells_how_it_is_called(run: Callable, net: Path) -> None:
    result = run("export", net, "-o", net.with_name("net.pt2"), "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found.keys() == export.JSON.keys()
    assert (found["format"], found["shape"], found["classes"]) == ("pt2", [1, 8, 8], ["0", "1", "2"])
    assert found["bytes"] == net.with_name("net.pt2").stat().st_size
    wrong = run("export", net, "-o", net.with_name("net.h5"))
    assert wrong.exit_code == 2
    assert "End --output in .pt2 or .onnx" in wrong.stderr
