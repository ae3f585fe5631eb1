"""MNIST's own files."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch

from memcli.data.sources import open_source
from memcli.errors import DataError, LimitError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write("train", 20) writes a pair of files, packed where `packed` says so, and returns their folder."""

    def pair(name: str, count: int, *, packed: bool = False, labels: list[int] | None = None) -> Path:
        pixels = numpy.random.default_rng(count).integers(0, 256, count * 20, dtype=numpy.uint8).tobytes()
        numbers = [index % 3 for index in range(count)] if labels is None else labels
        contents = {
            f"{name}-images-idx3-ubyte": struct.pack(">IIII", 0x803, count, 4, 5) + pixels,
            f"{name}-labels-idx1-ubyte": struct.pack(">II", 0x801, len(numbers)) + bytes(numbers),
        }
        for file, content in contents.items():
            if packed:
                (tmp_path / f"{file}.gz").write_bytes(gzip.compress(content))
            else:
                (tmp_path / file).write_bytes(content)
        return tmp_path

    return pair


@pytest.mark.parametrize("packed", [False, True])
def test_the_files_of_mnist_are_read(write: Write, packed: bool) -> None:
    write("train", 12, packed=packed)
    source = open_source(f"idx:{write('t10k', 6, packed=packed)}")
    assert (source.classes, source.shape) == (("0", "1", "2"), (1, 4, 5))
    train, test = source.split("train"), source.split("test")
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 1, 2] * 4, [0, 1, 2] * 2)
    wanted = numpy.random.default_rng(12).integers(0, 256, 12 * 20, dtype=numpy.uint8).reshape(12, 1, 4, 5)
    assert torch.equal(train.images, torch.from_numpy(wanted))


def test_train_alone_is_cut_and_test_alone_is_only_tested_on(write: Write) -> None:
    folder = write("train", 30)
    source = open_source(f"idx:{folder}")
    assert (len(source.split("train")), len(source.split("test"))) == (24, 6)
    for file in folder.iterdir():
        file.rename(file.with_name(file.name.replace("train", "t10k")))
    assert open_source(f"idx:{folder}").splits == ("test",)


def test_a_prefix_chooses_one_of_several_sets(write: Write) -> None:
    write("emnist-letters-train", 12)
    folder = write("emnist-digits-train", 9)
    with pytest.raises(DataError, match=r"holds several sets: .*Write how the names of one set begin"):
        open_source(f"idx:{folder}")
    assert len(open_source(f"idx:{folder}/emnist-letters").split("train")) == 9  # a fixed fifth is the test split


def changed(position: int, content: bytes) -> Callable[[bytes], bytes]:
    return lambda before: before[:position] + content + before[position + len(content) :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda before: before[:-1], r"declares 240 bytes and has 239\. Download it again"),
        (lambda before: before + b"x", "declares 240 bytes and has more"),
        (lambda _: b"", "it is no IDX file of bytes with 3 sides"),
        (changed(2, b"\x0d"), "it is no IDX file of bytes"),
        (changed(4, b"\x00\x00\x00\x0d"), "has 13 images and train-labels-idx1-ubyte 12 labels"),
        (changed(4, b"\x00\x00\x00\x00"), "0 images and"),
    ],
)
def test_damaged_files_are_refused_by_name(write: Write, change: Callable[[bytes], bytes], message: str) -> None:
    file = write("train", 12) / "train-images-idx3-ubyte"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DataError, match=message):
        open_source(f"idx:{file.parent}").split("train")


def test_damaged_packing_is_refused(write: Write) -> None:
    file = write("train", 12, packed=True) / "train-images-idx3-ubyte.gz"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"\x1f\x8bnone", whole[:40] + bytes(40) + whole[80:]):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"idx3-ubyte.gz cannot be read: .*Download it again"):
            open_source(f"idx:{file.parent}").split("train")


def test_declared_sizes_are_checked_before_anything_is_allocated(write: Write) -> None:
    file = write("train", 12) / "train-images-idx3-ubyte"
    file.write_bytes(struct.pack(">IIII", 0x803, 12, 60000, 60000))
    with pytest.raises(
        LimitError, match=r"the numbers that train-images-idx3-ubyte declares would take more than 8 GiB"
    ):
        open_source(f"idx:{file.parent}")


def test_what_is_missing_is_told(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there are no IDX files at .*train-images-idx3-ubyte"):
        open_source(f"idx:{tmp_path}")
    with pytest.raises(DataError, match=r"there is no folder .*after idx:"):
        open_source(f"idx:{tmp_path}/none/train")
    (write("train", 3) / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"no file of labels beside it. Add train-labels-idx1-ubyte"):
        open_source(f"idx:{tmp_path}")
