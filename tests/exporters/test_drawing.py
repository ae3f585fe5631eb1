"""Stretched images and contact sheets."""

import numpy
import pytest
import torch
from PIL import Image

from memcli.exporters.drawing import CELL, SHEET, Line, contact_sheet, stretched
from memcli.seeds import generator


def test_each_image_is_stretched_on_its_own_and_as_one_over_its_channels() -> None:
    images = torch.linspace(0, 1, 2 * 3 * 10 * 10).reshape(2, 3, 10, 10) * torch.tensor([1.0, -50.0]).view(2, 1, 1, 1)
    found = stretched(images, percent=10)
    assert (found.shape, found.dtype) == ((2, 10, 10, 3), numpy.uint8)
    for image in found:
        assert (image == 0).mean() == pytest.approx(0.1, abs=0.01)
        assert (image == 255).mean() == pytest.approx(0.1, abs=0.01)
    assert found[0, ..., 0].max() < found[0, ..., 2].min(), "the channels keep their order"


def test_an_image_of_one_value_is_grey_and_other_channels_are_averaged() -> None:
    assert (stretched(torch.full((1, 1, 4, 4), 7.0)) == 128).all()
    drawn = torch.rand(1, 4, 5, 5, generator=generator(0, "drawing"))
    assert numpy.array_equal(stretched(drawn), stretched(drawn.mean(1, keepdim=True)))


def images(count: int, side: int = 32, channels: int = 1, value: int = 100) -> numpy.ndarray:
    return numpy.full((count, side, side, channels), value, numpy.uint8)


def has_ink(part: Image.Image) -> bool:
    return numpy.array(part).min() < 128


def test_a_sheet_has_a_line_for_each_name_with_its_real_image_before_the_others() -> None:
    red = images(1, channels=3) * numpy.array([1, 0, 0], numpy.uint8)  # as no letter is, at its smoothed edges
    green = images(3, channels=3) * numpy.array([0, 1, 0], numpy.uint8)
    lines = [Line("cat", green, red[0]), Line("dog", green[:2])]
    sheet = numpy.array(contact_sheet(lines))
    assert sheet.ndim == 3
    shown, real = (sheet == [0, 100, 0]).all(2), (sheet == [100, 0, 0]).all(2)
    assert shown.sum() == 5 * CELL**2, "images are enlarged by whole pixels, and none is hidden"
    assert real.sum() == CELL**2
    assert real.nonzero()[1].max() < shown.nonzero()[1].min()
    assert set(real.nonzero()[0]) == set(shown[: CELL + 24].nonzero()[0]), "on the first line"
    names = Image.fromarray(sheet[:, : real.nonzero()[1].min()])
    assert all(has_ink(names.crop((0, y, names.width, y + CELL))) for y in (20, 20 + CELL))


def test_names_of_any_kind_are_drawn_and_cut() -> None:
    for name, drawn in (
        ("été", "ete"),
        ("кошка", "koshka"),
        ("猫", "Mao"),
        ("\u202ecat", "\\u202ecat"),
        ("\u0301", "?"),
    ):
        assert numpy.array_equal(contact_sheet([Line(name, images(1))]), contact_sheet([Line(drawn, images(1))])), name
    assert contact_sheet([Line("\x1b[31m" * 100, images(1))]).width < CELL + 200
    assert contact_sheet([Line("", images(1))]).width < CELL + 20


@pytest.mark.parametrize(("lines", "each", "side"), [(100, 1, 32), (1, 100, 32), (3, 5, 1500), (1, 1, 5000)])
def test_a_sheet_is_never_far_larger_than_its_limit(lines: int, each: int, side: int) -> None:
    sheet = contact_sheet([Line("a", images(each, side))] * lines)
    assert max(sheet.size) <= max(SHEET, side + 100)
    assert min(sheet.size) >= min(side, CELL)
