"""Predictions of image files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import memcli
from memcli.data.sources import open_source
from memcli.data.spec import DataSpec
from memcli.errors import DataError, MemoryFileError, UsageError
from memcli.jobs import predict as job
from memcli.jobs.predict import predict, predict_readable


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Four photographs in a folder that a source reads too; none has the network's size."""
    drawn = np.random.default_rng(0)
    for number in range(4):
        pixels = drawn.integers(0, 256, (20 + number, 31, 3)).astype("uint8")
        folder = tmp_path / "photos" / ("dark", "bright")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return sorted((tmp_path / "photos").glob("*/*"))


def test_predictions_are_the_network_s_softmax_of_what_a_source_reads(
    weights: Callable[..., Path], photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "_BATCH", 3)
    path = weights()
    found = predict(path, photos)
    _, data = memcli.files.weights.read(path)
    source = open_source(photos[0].parents[1], shape=data.shape)
    parts = [source.split(split).normalised(data) for split in ("train", "test")]
    with torch.no_grad():
        wanted = memcli.load_network(path)(torch.cat(parts)).softmax(1)
    assert [each.file for each in found] == list(map(str, photos))
    rows = sorted([each.probabilities["dark"], each.probabilities["bright"]] for each in found)
    assert np.allclose(rows, sorted(wanted.tolist()), atol=1e-6)
    for each in found:
        assert sum(each.probabilities.values()) == pytest.approx(1)
        assert each.probabilities[each.label] == max(each.probabilities.values())


def test_one_path_is_one_image(weights: Callable[..., Path], photos: list[Path]) -> None:
    assert len(predict(weights(), photos[0])) == 1


def test_damaged_images_are_named_and_the_others_predicted(
    weights: Callable[..., Path], photos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(photos[0].read_bytes()[:100])
    (tmp_path / "text\x1b.jpg").write_text("no image")
    given = [photos[0], tmp_path / "bad.png", tmp_path / "text\x1b.jpg", tmp_path / "none.png", photos[1]]
    found, damaged = predict_readable(weights(), given)
    assert [each.file for each in found] == [str(photos[0]), str(photos[1])]
    assert [message.partition(" cannot")[0].rpartition("/")[2] for message in damaged] == [
        "bad.png",
        "text\\x1b.jpg",
        "none.png",
    ]
    with pytest.raises(DataError, match=r"3 images cannot be used: .*bad.png.*text.*none.png.*Repair them"):
        predict(weights(), given)


def test_impossible_requests_are_refused(weights: Callable[..., Path], photos: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no image was given\. Give an image file"):
        predict(weights(), [])
    two = DataSpec("two", 2, 8, 8, ("a", "b"), (0.5,) * 2, (0.5,) * 2)
    with pytest.raises(UsageError, match=r"1 or 3 channels, and the network takes 2\. Use `load_network`"):
        predict(weights(data=two), photos)
    with pytest.raises(MemoryFileError, match="no such file"):
        predict(tmp_path / "none.safetensors", photos)
