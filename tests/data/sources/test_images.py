"""How one encoded image becomes pixels: the colour modes, the sizes, and the files that are refused."""

import re
import struct
import warnings
import zlib
from io import BytesIO
from typing import Any

import numpy
import pytest
from numpy.typing import NDArray
from PIL import Image

from memcli.data.sources._images import Damage, Picture, decode, empty
from memcli.data.sources._sizes import Sizes, choose_sizes
from memcli.data.sources.base import Request
from memcli.errors import DataError, LimitError


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> Picture:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return Picture(f"a.{kind.lower()}", stream.getvalue())


def pixels_of(picture: Picture, shape: tuple[int, int, int]) -> NDArray[numpy.uint8]:
    out = empty(1, shape)
    damage = Damage()
    decode([picture], out, damage)
    if damage.too_much:
        raise damage.error()
    return out[0]


def shape_of(*pictures: Picture, **request: Any) -> tuple[int, int, int]:
    return choose_sizes([pictures], Request(**request), Damage()).shape


def bomb(side: int) -> bytes:
    """A PNG file that declares side x side grey pixels and holds none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    ramp = numpy.linspace(0, 65535, 64).astype(numpy.uint16).reshape(8, 8)
    expected = numpy.rint(ramp / 257).astype(numpy.uint8)
    for kind in ("PNG", "TIFF", "PPM"):
        picture = encoded(Image.fromarray(ramp), kind)
        assert shape_of(picture) == (1, 8, 8)
        assert (pixels_of(picture, (1, 8, 8))[0] == expected).all()


def test_transparency_is_put_on_white() -> None:
    red_half = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    assert pixels_of(encoded(red_half), (3, 8, 8))[:, 0, 0].tolist() == [255, 127, 127]
    clear_grey = encoded(Image.new("LA", (8, 8), (10, 0)))
    assert shape_of(clear_grey) == (1, 8, 8)
    assert (pixels_of(clear_grey, (1, 8, 8)) == 255).all()
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 20, 40, 60])
    assert shape_of(encoded(palette)) == (3, 8, 8)
    assert pixels_of(encoded(palette), (3, 8, 8))[:, 0, 0].tolist() == [20, 40, 60]
    assert (pixels_of(encoded(palette, transparency=1), (3, 8, 8)) == 255).all()
    keyed = encoded(Image.new("RGB", (8, 8), (1, 2, 3)), transparency=(1, 2, 3))
    assert (pixels_of(keyed, (3, 8, 8)) == 255).all()


def test_print_colours_become_rgb() -> None:
    cyan = encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=100)
    red, green, blue = pixels_of(cyan, (3, 8, 8))[:, 4, 4].tolist()
    assert red < 10
    assert min(green, blue) > 245


def test_one_bit_and_grey_are_one_channel_only_if_all_are() -> None:
    dot, grey = encoded(Image.new("1", (8, 8), 1)), encoded(Image.new("L", (8, 8), 7))
    assert shape_of(dot, grey) == (1, 8, 8)
    assert (pixels_of(dot, (1, 8, 8)) == 255).all()
    assert shape_of(dot, grey, encoded(Image.new("RGB", (8, 8)))) == (3, 8, 8)
    assert pixels_of(grey, (3, 8, 8))[:, 0, 0].tolist() == [7, 7, 7]
    assert pixels_of(encoded(Image.new("RGB", (8, 8), (0, 255, 0))), (1, 8, 8))[0, 0, 0] == 150


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_in_exif_is_applied(kind: str) -> None:
    image = Image.new("L", (16, 8))
    image.paste(255, (0, 0, 8, 8))  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: the left becomes the top
    picture = encoded(image.convert("RGB"), kind, exif=exif)
    assert shape_of(picture) == (3, 16, 8)
    upright = pixels_of(picture, (3, 16, 8))[0]
    assert upright[:6].min() > 245
    assert upright[-6:].max() < 10


def test_one_small_size_is_kept_and_others_become_32() -> None:
    small, big = encoded(Image.new("RGB", (64, 40))), encoded(Image.new("RGB", (65, 65)))
    assert choose_sizes([[small]], Request(), Damage()) == Sizes((3, 40, 64))
    for pictures, found in (([big], "of 65x65"), ([small, big], "of several sizes")):
        sizes = choose_sizes([pictures], Request(), Damage())
        assert sizes.shape == (3, 32, 32)
        assert sizes.notes[0] == f"images {found} are resized to 32x32: `image_size` N chooses another size"
    assert shape_of(small, big, image_size=(48, 40)) == (3, 48, 40)
    assert choose_sizes([[big]], Request(shape=(1, 8, 10)), Damage()) == Sizes((1, 8, 10))
    with pytest.raises(DataError, match="image files have 1 or 3 channels, not 4"):
        shape_of(small, shape=(4, 8, 8))


def test_resizing_fits_the_shorter_side_and_crops_the_centre() -> None:
    wide = Image.new("RGB", (40, 10), (255, 0, 0))
    wide.paste((0, 0, 255), (15, 0, 25, 10))  # the square in the centre is blue
    out = pixels_of(encoded(wide), (3, 5, 5))
    assert out[2].min() > 230
    assert out[0].max() < 25


def test_no_more_memory_than_the_limit() -> None:
    with pytest.raises(LimitError, match="1,000,000 images of 3x256x256 take more than 8 GiB"):
        empty(1_000_000, (3, 256, 256))


@pytest.mark.parametrize("side", [8500, 10_000, 20_000])
def test_bombs_are_refused_before_they_are_decoded(side: int) -> None:
    """Pillow opens the first without a word, warns at the second and raises at the third."""
    picture = Picture("bomb.png", bomb(side))
    with pytest.raises(DataError, match=r"bomb\.png cannot be read: .*(too many|exceeds limit)"):
        pixels_of(picture, (1, 8, 8))
    with pytest.raises(DataError, match="bomb"):
        shape_of(picture)
    assert not any(found[2] is Image.DecompressionBombWarning for found in warnings.filters), "filters are put back"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an image of a known format"),
        (b"GIF", "not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n", "not an image of a known format"),
        (encoded(Image.effect_noise((64, 64), 50)).data[:900], "truncated"),
        (encoded(Image.new("F", (8, 8)), "TIFF").data, "floating-point"),
        (encoded(Image.fromarray(numpy.full((8, 8), 70_000, numpy.int32)), "TIFF").data, "exceed 16 bits"),
    ],
    ids=["nothing", "stub", "postscript", "truncated", "float", "32 bits"],
)
def test_what_cannot_be_read_is_named_with_the_reason(data: bytes, reason: str) -> None:
    fine = encoded(Image.new("L", (8, 8)))
    out = empty(101, (1, 8, 8))
    damage = Damage()
    read = decode([fine] * 100 + [Picture("cats/bad\x1b.png", data)], out, damage)
    assert read.tolist() == [True] * 100 + [False]
    assert re.search(rf"cats/bad\\x1b\.png cannot be read: .*{reason}.*Repair or remove it", str(damage.error()))
