"""The picture of what a memory recalls."""

from pathlib import Path

import numpy
import pytest
import torch
from memories import artifact
from PIL import Image

from memcli.data.images import LabelledImages
from memcli.errors import ExistsError
from memcli.exporters.drawing import CELL, stretched
from memcli.jobs.preview import preview


def picture(path: Path) -> numpy.ndarray:
    """(H, W, 3) uint8."""
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        return numpy.array(opened)


def cells(sheet: numpy.ndarray, lines: int, columns: int) -> numpy.ndarray:
    """(lines, columns, CELL, CELL, 3): the images, which end at the right and lower border."""
    step = CELL + 4
    grid = sheet[-lines * step :, -columns * step :].reshape(lines, step, columns, step, 3)
    return grid.transpose(0, 2, 1, 3, 4)[:, :, :CELL, :CELL]


def test_there_is_a_line_for_each_class_of_stretched_images(tmp_path: Path) -> None:
    given = artifact()
    preview(given, tmp_path / "p.png")
    found = cells(picture(tmp_path / "p.png"), 3, 4)
    for number, name in enumerate(given.classes):
        wanted = stretched(given.recall(name)[0])
        assert (found[number, :, ::8, ::8] == wanted).all()
        assert (found[number, :, 7::8, 7::8] == wanted).all(), "enlarged by whole pixels"


def test_the_mean_of_real_images_stands_beside(tmp_path: Path) -> None:
    given, ramp = artifact(), torch.arange(3 * 64).reshape(1, 3, 8, 8).byte()
    real = LabelledImages(torch.cat([ramp, ramp // 2, ramp.flip(3)]), torch.tensor([0, 0, 2]))
    preview(given, tmp_path / "p.png", real=real)
    sheet = picture(tmp_path / "p.png")
    before = cells(sheet[:, : -(4 * (CELL + 4) + 8)], 3, 1)[:, 0, ::8, ::8]  # 12 pixels lie between, not 4
    assert (before[0] == stretched(torch.cat([ramp, ramp // 2]).float().mean(0, keepdim=True))[0]).all()
    assert (before[1] == 255).all(), "no image of the second class is there"
    assert (before[2] == stretched(ramp.flip(3).float())[0]).all()


def test_queries_have_lines_in_place_of_the_classes(tmp_path: Path) -> None:
    given = artifact()
    preview(given, tmp_path / "p.png", queries=["ship", "cat..dog:6"])
    found = cells(picture(tmp_path / "p.png"), 4, 6)[:, :, ::8, ::8]
    assert (found[0, :4] == stretched(given.recall("ship")[0])).all()
    assert (found[0, 4:] == 255).all(), "the memory has four rows"
    steps = stretched(given.recall("cat..dog:6")[0]).reshape(6, 4, 8, 8, 3)
    for row in range(3):
        assert (found[1 + row] == steps[:, row]).all(), "a strip is of one row"


@pytest.mark.parametrize("channels", [1, 4])
def test_classes_and_columns_are_limited_and_channels_are_any(channels: int, tmp_path: Path) -> None:
    preview(artifact(tuple(map(str, range(30))), channels, rows=40), tmp_path / "p.png")
    height, width, _ = picture(tmp_path / "p.png").shape
    assert height == 10 * (CELL + 4) + 4
    assert 12 * (CELL + 4) < width < 13 * (CELL + 4)


def test_a_preview_replaces_only_by_force(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"mine")
    with pytest.raises(ExistsError, match="`force`"):
        preview(artifact(), tmp_path / "p.png")
    preview(artifact(), tmp_path / "p.png", force=True)
    assert len(picture(tmp_path / "p.png"))
