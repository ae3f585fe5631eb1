"""Archives of numpy arrays: names, layouts, types, and files made to harm."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from numpy.lib import format as npy

from memcli.data.sources import open_source
from memcli.errors import DataError, LimitError

Npz = Callable[..., Path]
LABELS = numpy.arange(10) % 2


def pixels(*shape: int) -> Any:
    return numpy.random.default_rng(0).integers(0, 256, shape, dtype=numpy.uint8)


@pytest.mark.parametrize(
    "names",
    [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels")],
)
def test_split_arrays_are_found_by_name(npz: Npz, names: tuple[str, ...]) -> None:
    train, test = pixels(10, 8, 8), pixels(4, 8, 8)
    arrays = dict(zip(names, (train, LABELS.reshape(-1, 1), test, LABELS[:4].astype(numpy.uint8)), strict=True))
    source = open_source(f"npz:{npz(**arrays, val_images=test)}")
    assert torch.equal(source.split("train").images, torch.from_numpy(train).unsqueeze(1))
    assert torch.equal(source.split("test").images, torch.from_numpy(test).unsqueeze(1))
    assert source.split("test").labels.tolist() == [0, 1, 0, 1]
    assert source.spec.name == "set"
    assert source.notes == ("the val images are not read: what validates is cut from train",)


@pytest.mark.parametrize("names", [("X_train", "Y_TRAIN"), ("trainImages", "trainTargets"), ("data", "target")])
def test_names_of_arrays_are_words_in_any_case(npz: Npz, names: tuple[str, str]) -> None:
    source = open_source(f"npz:{npz(**dict(zip(names, (pixels(10, 8, 8), LABELS), strict=True)))}")
    assert len(source.split("train")) == 8


def test_val_stands_in_for_a_test_split_without_labels(npz: Npz) -> None:
    arrays = {"x_train": pixels(10, 8, 8), "y_train": LABELS, "x_val": pixels(4, 8, 8), "y_val": LABELS[:4]}
    source = open_source(f"npz:{npz(**arrays, x_test=pixels(3, 8, 8))}")
    assert source.notes == (
        "3 of the 3 test images have no label and are left out",
        "the val images are the test split",
    )
    assert len(source.split("test")) == 4


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (LABELS + 1, ("1", "2")),
        (numpy.array(["cat", "dog"])[LABELS], ("cat", "dog")),
        (numpy.eye(2)[LABELS], ("0", "1")),
        (LABELS.astype(float) * 2, ("0", "2")),
    ],
)
def test_labels_follow_the_one_rule(npz: Npz, labels: Any, classes: tuple[str, ...]) -> None:
    source = open_source(f"npz:{npz(images=pixels(10, 8, 8), labels=labels)}")
    assert source.classes == classes
    assert source.split("train").labels.bincount().tolist() == [4, 4]


@pytest.mark.parametrize("kind", ["i8", "f4", "u2"])
def test_whole_numbers_up_to_255_are_pixels(npz: Npz, kind: str) -> None:
    images = pixels(10, 8, 8)
    both = {"x_train": images.astype(kind), "y_train": LABELS, "x_test": images, "y_test": LABELS}
    source = open_source(f"npz:{npz(**both)}")
    assert torch.equal(source.split("train").images, source.split("test").images)


def test_sixteen_bits_are_scaled(npz: Npz) -> None:
    images = pixels(10, 8, 8)
    both = {"x_train": images.astype("u2") * 257, "y_train": LABELS, "x_test": images, "y_test": LABELS}
    source = open_source(f"npz:{npz(**both)}")
    assert torch.equal(source.split("train").images, source.split("test").images)


def test_one_split_is_cut_and_noted(npz: Npz) -> None:
    source = open_source(f"npz:{npz(images=pixels(10, 8, 8), labels=LABELS, classes=numpy.array(['cat', 'dog']))}")
    assert source.classes == ("cat", "dog")
    assert (len(source.split("train")), len(source.split("test"))) == (8, 2)
    assert "a fixed fifth" in source.notes[0]


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((10, 6, 8, 3), (0, 3, 1, 2)), ((10, 3, 6, 8), (0, 1, 2, 3)), ((10, 6, 8, 1), (0, 3, 1, 2))],
)
def test_layouts_are_told_apart(npz: Npz, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    images = pixels(*shape)
    source = open_source(f"npz:{npz(images=images, labels=LABELS, x_test=images)}")
    both = torch.cat([source.split("train").images, source.split("test").images])
    expected = torch.from_numpy(images.transpose(axes))
    assert source.shape == tuple(expected.shape[1:])
    assert {image.numpy().tobytes() for image in both} == {image.numpy().tobytes() for image in expected}


def test_floats_are_rounded_to_eight_bits(npz: Npz) -> None:
    images = pixels(10, 8, 8)
    for kind in (numpy.float16, numpy.float32, numpy.float64):
        source = open_source(
            f"npz:{npz(x_train=(images / 255).astype(kind), y_train=LABELS, x_test=images, y_test=LABELS)}"
        )
        assert torch.equal(source.split("train").images, source.split("test").images)


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -0.1, 1.5])
def test_floats_outside_zero_to_one_are_refused(npz: Npz, value: float) -> None:
    images = numpy.zeros((10, 8, 8))
    images[7, 3, 3] = value
    source = open_source(f"npz:{npz(images=images, labels=LABELS)}")
    with pytest.raises(DataError, match="neither from 0 to 1 nor whole and from 0 to 255"):
        source.split("train")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pixels": pixels(2, 8, 8)}, "has the arrays 'pixels'. Name them x_train"),
        ({"images": pixels(10, 8), "labels": LABELS}, r"images of set.npz has shape \(10, 8\)"),
        ({"images": pixels(10, 8, 8, 4), "labels": LABELS}, r"has shape \(10, 8, 8, 4\).*leaves out transparency"),
        ({"images": pixels(10, 3, 8, 3), "labels": LABELS}, r"has shape \(10, 3, 8, 3\)"),
        ({"images": pixels(10, 8, 8).astype(complex), "labels": LABELS}, "has type complex128"),
        (
            {"images": pixels(10, 8, 8), "labels": LABELS / 2},
            "labels of set.npz holds float64, such as 0.5, which are not one label per image",
        ),
        ({"images": pixels(10, 8, 8), "labels": numpy.eye(10, 2, dtype=int)}, "holds int64 of shape 10x2, such as 1"),
        ({"images": pixels(0, 8, 8), "labels": LABELS[:0]}, "there are no images"),
        ({"images": pixels(10, 8, 8), "labels": LABELS - 1}, "a label -1 beside 0"),
        ({"images": pixels(10, 8, 8), "labels": LABELS.astype("u8") + 2**63}, "holds uint64, such as 92233"),
        ({"images": pixels(10, 8, 8), "labels": LABELS[:9]}, "has 10 images in images and 9 labels in labels"),
        ({"images": pixels(10, 784), "labels": LABELS}, r"may be images.reshape\(\(-1, 28, 28\)\)"),
        ({"images": pixels(10, 3072), "labels": LABELS}, r"may be images.reshape\(\(-1, 3, 32, 32\)\)"),
        ({"images": pixels(8, 8, 3, 10), "labels": LABELS[:8]}, r"may be images.transpose\(3, 0, 1, 2\)"),
        ({"images": pixels(10, 8, 8), "labels": LABELS, "classes": numpy.array([1, 2])}, "not a list of names"),
        (
            {"images": pixels(10, 8, 8), "labels": LABELS, "classes": numpy.array(["a", "a"])},
            "two classes have the same name: 'a'",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(npz: Npz, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(f"npz:{npz(**arrays)}")


def test_what_shows_only_when_a_split_is_loaded(npz: Npz) -> None:
    arrays = {"x_train": pixels(10, 8, 8), "y_train": LABELS, "x_test": pixels(10, 6, 6), "y_test": LABELS}
    source = open_source(f"npz:{npz(**arrays)}")
    with pytest.raises(DataError, match=r"test split have shape \(1, 6, 6\), others \(1, 8, 8\)"):
        source.split("test")
    named = {"images": pixels(10, 8, 8), "labels": LABELS, "classes": numpy.array(["a", "b", "c"])}
    with pytest.raises(DataError, match="no training image of 'c'"):
        open_source(f"npz:{npz(**named)}").split("train")


def member(header: dict[str, Any], data: bytes = b"") -> bytes:
    """The bytes of an .npy member with a header of our choice."""
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, header)
    return stream.getvalue() + data


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for name, data in members.items():
            written.writestr(f"{name}.npy", data)
    return path


HUGE = {"descr": "|u1", "fortran_order": False, "shape": (2**21, 2048, 2048)}
GOOD = {"descr": "|u1", "fortran_order": False, "shape": (2, 2, 2)}
OBJECTS = {"descr": "|O", "fortran_order": False, "shape": (2,)}
TWO = member({"descr": "<i8", "fortran_order": False, "shape": (2,)}, bytes(8) + b"\x01" + bytes(7))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (member(HUGE), "array images declares 8796093022336 bytes and has 128"),
        (member(GOOD, bytes(7)), "declares 136 bytes and has 135"),
        (member(GOOD | {"shape": (-2, -2, 2)}, bytes(8)), "cannot be read|declares"),
        (member(OBJECTS, b"\x80\x04N."), "holds Python objects"),
        (member(GOOD | {"descr": "<U0", "shape": (2_000_000_000,)}), "holds values of no size"),
        (b"\x93NUMPY\x09\x00", "has format version"),
        (b"\x93NUMPY\x01\x00\xff\xff", "cannot be read"),
        (b"\x93NUMPY\x01\x00\x0c\x00{'descr': ((", "cannot be read"),
        (b"no array", "cannot be read"),
        (b"", "cannot be read"),
    ],
    ids=["bomb", "short", "negative", "pickle", "no size", "version", "cut", "open", "text", "empty"],
)
def test_hostile_members_are_refused_before_they_are_read(tmp_path: Path, images: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(f"npz:{archive(tmp_path / 'set.npz', images=images, labels=TWO)}")


def test_an_array_that_truly_is_too_large(npz: Npz, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memcli.data.sources._limits.MAX_BYTES", 700)
    with pytest.raises(LimitError, match=r"array images of set.npz would take more"):
        open_source(f"npz:{npz(images=pixels(10, 8, 8), labels=LABELS)}")


def test_damage_in_the_pixels_is_found(npz: Npz) -> None:
    path = npz(images=pixels(10, 16, 16), labels=LABELS)
    data = bytearray(path.read_bytes())
    data[700] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"set\.npz cannot be read"):
        open_source(f"npz:{path}").split("train")


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    (tmp_path / "set.npz").write_bytes(b"\x80\x04K\x05.")
    with pytest.raises(DataError, match=r"set\.npz is a pickle, which can run code"):
        open_source(f"npz:{tmp_path}/set.npz")
    with pytest.raises(DataError, match=r"there is no file 'nowhere.npz'"):
        open_source("npz:nowhere.npz")
    with zipfile.ZipFile(tmp_path / "lzma.npz", "w", zipfile.ZIP_LZMA) as written:
        written.writestr("labels.npy", TWO)
    with pytest.raises(DataError, match="numpy does not write this kind of compression"):
        open_source(f"npz:{tmp_path}/lzma.npz")
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as written:
        written.writestr("labels.npy", TWO)
        with pytest.warns(UserWarning, match="Duplicate"):
            written.writestr("labels.npy", TWO)
    with pytest.raises(DataError, match="two arrays have the same name"):
        open_source(f"npz:{tmp_path}/twice.npz")


def test_the_arrays_of_medmnist_are_read(npz: Callable[..., Path]) -> None:
    drawn = numpy.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 20), ("val", 6), ("test", 8)):
        arrays[f"{split}_images"] = drawn.integers(0, 256, (count, 28, 28, 3), dtype=numpy.uint8)
        arrays[f"{split}_labels"] = (numpy.arange(count) % 2).astype(numpy.uint8)[:, None]  # (n, 1)
    source = open_source(npz(**arrays))
    assert (source.classes, source.shape) == (("0", "1"), (3, 28, 28))
    assert (len(source.split("train")), len(source.split("test"))) == (20, 8)
    assert any("val" in note for note in source.notes)
