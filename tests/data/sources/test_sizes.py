"""Sizes of images of files: what is chosen, what is lost by it, and how images are made to fit."""

from io import BytesIO

import numpy
import pytest
from PIL import Image

from memcli.data.sources._images import Damage, Picture, decode, empty
from memcli.data.sources._sizes import choose_sizes
from memcli.data.sources.base import Request
from memcli.errors import DataError

WIDE = Image.new("L", (100, 28))
WIDE.paste(255, (0, 0, 34, 28))  # the left third is white


def encoded(image: Image.Image, kind: str = "PNG") -> Picture:
    stream = BytesIO()
    image.save(stream, kind)
    return Picture(f"a.{kind.lower()}", stream.getvalue())


def fitted(image: Image.Image, shape: tuple[int, int, int], fit: str, kind: str = "PNG") -> numpy.ndarray:
    out = empty(1, shape)
    assert decode([encoded(image, kind)], out, Damage(), fit).all()
    return out[0]


def test_a_note_says_what_share_a_crop_removes_and_what_keeps_it() -> None:
    sizes = choose_sizes([[encoded(WIDE)]], Request(), Damage())
    assert sizes.notes == (
        "images of 28x100 are resized to 32x32: `image_size` N chooses another size",
        "cropping to the centre removes 72% of the pixels: `fit` pad or stretch keeps them,"
        " and so does `image_size` 32x114",
    )
    assert sizes.summary == "images of 28x100 are resized to 32x32, cropped to the centre"
    for fit, done in (("pad", "padded"), ("stretch", "stretched")):
        kept = choose_sizes([[encoded(WIDE)]], Request(fit=fit), Damage())
        assert len(kept.notes) == 1
        assert kept.summary.endswith(done)


def test_the_share_is_that_of_all_images_and_a_square_loses_nothing() -> None:
    square = encoded(Image.new("L", (80, 80)))
    assert len(choose_sizes([[square]], Request(), Damage()).notes) == 1
    both = choose_sizes([[square, encoded(WIDE)]], Request(image_size=(32, 32)), Damage())
    assert both.notes == ("cropping to the centre removes 36% of the pixels: `fit` pad or stretch keeps them",)
    assert both.summary == "images of several sizes, 28x100 to 80x80, are resized to 32x32, cropped to the centre"


def test_a_size_of_the_images_own_proportions_loses_nothing() -> None:
    sizes = choose_sizes([[encoded(WIDE)]], Request(image_size=(14, 50)), Damage())
    assert (sizes.shape, sizes.notes) == ((1, 14, 50), ())


def test_the_three_ways_to_fit() -> None:
    assert fitted(WIDE, (1, 8, 8), "crop").max() < 60  # the white third is gone
    padded = fitted(WIDE, (1, 8, 8), "pad")[0]
    assert padded[0].max() == 0
    assert padded[4, 0] > 200
    stretched = fitted(WIDE, (1, 8, 8), "stretch")[0]
    assert stretched[:, 0].min() > 200
    assert stretched[:, 5].max() < 50


def test_a_large_photograph_is_decoded_smaller_and_looks_the_same() -> None:
    rows = numpy.linspace(0, 255, 1600)[:, None] * numpy.linspace(0.2, 1, 1600)
    photograph = Image.fromarray(rows.astype(numpy.uint8))
    plain = fitted(photograph, (1, 32, 32), "crop").astype(int)
    assert abs(fitted(photograph, (1, 32, 32), "crop", "JPEG") - plain).max() <= 3


def test_an_image_that_is_not_much_larger_is_decoded_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    photograph = Image.effect_noise((224, 224), 50)
    before = fitted(photograph, (1, 32, 32), "crop", "JPEG")
    monkeypatch.setattr(Image.Image, "draft", lambda *_: None)
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.draft", lambda *_: None)
    assert (fitted(photograph, (1, 32, 32), "crop", "JPEG") == before).all()


def test_images_of_which_none_can_be_read_are_refused_with_all_names() -> None:
    damaged = [Picture(f"{number}.png", b"") for number in range(30)]
    with pytest.raises(DataError, match=r"30 images cannot be read: 0\.png \(not an image.* and 10 more"):
        choose_sizes([damaged], Request(), Damage())
