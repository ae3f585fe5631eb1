"""Shards of WebDataset."""

import io
import json
import pickle
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from memcli.data.sources import open_source
from memcli.errors import DataError

Write = Callable[..., Path]


def picture(value: int) -> Image.Image:
    """An 8x8 image whose pixels follow from `value`: no two values give the same image."""
    pixels = numpy.random.default_rng(value).integers(0, 256, (8, 8, 3), dtype=numpy.uint8)
    return Image.fromarray(pixels)


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write("train-0", {"a.png": bytes, ...}) writes a shard and returns its folder."""

    def shard(name: str, files: Mapping[str, bytes]) -> Path:
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            for file, content in files.items():
                entry = tarfile.TarInfo(file)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return tmp_path

    return shard


def samples(count: int, first: int = 0, **label: Callable[[int], str]) -> dict[str, bytes]:
    (suffix, text), *_ = label.items()
    return {
        name: content
        for index in range(first, first + count)
        for name, content in ((f"{index:05}.png", png(picture(index))), (f"{index:05}.{suffix}", text(index).encode()))
    }


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        ({"cls": lambda index: str(index % 2)}, ("0", "1")),
        ({"cls": lambda index: "ab"[index % 2] + "\n"}, ("a", "b")),
        ({"json": lambda index: json.dumps({"label": index % 2, "more": []})}, ("0", "1")),
        ({"json": lambda index: json.dumps({"class": "ab"[index % 2]})}, ("a", "b")),
        ({"json": lambda index: str(index % 2)}, ("0", "1")),
    ],
)
def test_shards_of_splits_are_read(write: Write, label: dict[str, Callable], classes: tuple[str, ...]) -> None:
    write("train-0", samples(4, **label))
    write("train-1", samples(2, 10, **label))
    source = open_source(f"webdataset:{write('val-0', samples(4, 20, **label))}")
    assert (source.classes, source.shape) == (classes, (3, 8, 8))
    train = source.split("train")
    assert train.labels.tolist() == [0, 1] * 3
    wanted = [picture(index) for index in (0, 1, 2, 3, 10, 11)]
    assert [image.permute(1, 2, 0).numpy().tobytes() for image in train.images] == [each.tobytes() for each in wanted]
    assert len(source.split("test")) == 4


def test_a_glob_a_range_and_a_file_name_shards(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memcli.data.sources.webdataset._BLOCK", 3)
    for number in range(3):
        folder = write(f"set-{number:03}", samples(10, 100 * number, cls=lambda index: str(index % 2)))
    for text, count in (("set-{000..002}.tar", 30), ("set-00[01].tar", 20), ("set-002.tar", 10)):
        source = open_source(f"webdataset:{folder}/{text}")
        assert len(source.split("train")) + len(source.split("test")) == count
    with pytest.raises(DataError, match=r"there is no shard 'set-003.tar'. Check the range"):
        open_source(f"webdataset:{folder}/set-{{000..003}}.tar")
    with pytest.raises(DataError, match=r"the range \{000..999999999\} is of no use"):
        open_source(f"webdataset:{folder}/set-{{000..999999999}}.tar")
    with pytest.raises(DataError, match=r"there are no .tar files at"):
        open_source(f"webdataset:{folder}/none-*.tar")


def test_nothing_else_is_read_and_pickles_least_of_all(write: Write, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable, tuple]:
            return Path.touch, (tmp_path / "trapped",)

    files = {
        "__hidden__/x.png": b"no image",
        "README": b"",
        "dir/0.seg.png": png(picture(7)),
        "dir/0.jpg": png(picture(0)),
        "dir/0.pyd": pickle.dumps(Trap()),
        "dir/0.cls": b"0",
        "dir/1.png": png(picture(1)),
        "dir/1.pkl": pickle.dumps(Trap()),
        "dir/1.cls": b"1",
        "dir/2.png": png(picture(2)),  # it has no label
        **samples(4, 10, cls=lambda index: str(index % 2)),
    }
    source = open_source(f"webdataset:{write('train', files) / 'train.tar'}")
    assert any("no label" in note for note in source.notes)
    assert len(source.split("train")) + len(source.split("test")) == 6
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.cls": b"0"}, "train.tar cannot be read: it holds no samples with an image. Download or write it again"),
        ({"a.png": b"", "a.jpg": b"", "a.cls": b"0"}, "the sample a has the images 'png', 'jpg', and one is read"),
        ({"a.png": b"", "a.json": b"{"}, "train.tar cannot be read: Expecting"),
        ({"a.png": b"", "a.json": b"[" * 100_000}, "train.tar cannot be read: maximum recursion"),
        ({"a.png": b"", "a.json": b'{"label": 1.5}'}, "the label of a.json is neither a name nor a whole number"),
        ({"a.png": b"", "a.cls": bytes(2 << 20)}, "a.cls has 2097152 bytes, and labels up to 1048576 are read"),
        ({"a.png": b"", "a.cls": b"\xff"}, "train.tar cannot be read: 'utf-8'"),
        ({"__memcli__/classes": b"{}", "a.png": b""}, "__memcli__/classes is not a list of names"),
    ],
)
def test_shards_that_are_of_no_use_are_refused(write: Write, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(f"webdataset:{write('train', files)}")


def test_a_damaged_shard_and_a_damaged_image_are_named(write: Write) -> None:
    file = write("train", samples(8, cls=lambda index: str(index % 2))) / "train.tar"
    whole = file.read_bytes()
    place = whole.index(b"IDAT")
    file.write_bytes(whole[:place] + bytes(100) + whole[place + 100 :])
    with pytest.raises(DataError, match=r"00000 of train.tar cannot be read"):
        open_source(f"webdataset:{file}").split("train")
    for content in (whole[: len(whole) // 3], b"no tar", b""):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"train.tar cannot be read"):
            open_source(f"webdataset:{file}")


@pytest.mark.parametrize(
    ("kind", "size"), [(tarfile.XHDTYPE, 2**55), (tarfile.GNUTYPE_LONGNAME, 2**62), (b"0", 2**40), (b"0", -512)]
)
def test_a_size_that_a_header_makes_up_costs_nothing(kind: bytes, size: int, tmp_path: Path) -> None:
    entry = tarfile.TarInfo("a.png")
    entry.type, entry.size = kind, size
    (tmp_path / "train.tar").write_bytes(entry.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(DataError, match=r"train.tar cannot be read"):
        open_source(f"webdataset:{tmp_path / 'train.tar'}")


def test_what_memcli_exports_is_read_with_its_names(tmp_path: Path) -> None:
    from memcli.data.spec import DataSpec
    from memcli.exporters.base import RecalledChunk
    from memcli.exporters.webdataset import WebDataset

    data = DataSpec("toy", 1, 8, 8, ("dog", "cat"), (0.5,), (0.2,))
    labels = torch.eye(2)[torch.arange(10) % 2]
    images = torch.linspace(0, 1, 640).view(10, 1, 8, 8)
    chunk = RecalledChunk(images, torch.arange(10), labels, labels)
    WebDataset().export(tmp_path / "out.tar", data, iter([chunk]), 10, force=False)
    source = open_source(f"webdataset:{tmp_path / 'out.tar'}")
    assert (source.classes, source.shape) == (("dog", "cat"), (1, 8, 8))
    assert len(source.split("train")) + len(source.split("test")) == 10
