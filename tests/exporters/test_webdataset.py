"""What a shard does beyond the contract: webdataset and `datasets` read it."""

import io
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from memcli.data.spec import DataSpec
from memcli.exporters.base import RecalledChunk
from memcli.exporters.encoding import Encoding
from memcli.exporters.pictures import most_png_bytes, png_files
from memcli.exporters.webdataset import WebDataset
from memcli.seeds import generator

SUFFIXES = ("png", "npy", "cls", "json")
DATA = DataSpec("toy", 3, 5, 6, ("dog", "cat"), (0.5,) * 3, (0.2,) * 3)


def chunks(count: int = 6) -> Iterator[RecalledChunk]:
    images = torch.randn(count, 3, 5, 6, generator=generator(0, "webdataset"))
    labels = torch.eye(2)[torch.arange(count) % 2]
    yield RecalledChunk(images, torch.arange(count) // 2, labels, labels * 0.9)


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    WebDataset().export(tmp_path / "out.tar", DATA, chunks(), 6, force=False)
    return tmp_path / "out.tar"


# webdataset leaves the shard open, and moves the generator of `random`.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_pictures_values_and_labels(shard: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="needs webdataset")
    state = random.getstate()
    samples = list(webdataset.WebDataset(str(shard), shardshuffle=False).decode("rgb8").to_tuple("png", "npy", "cls"))
    random.setstate(state)
    assert [label for _, _, label in samples] == [0, 1, 0, 1, 0, 1]
    assert samples[0][0].shape == (5, 6, 3)
    assert torch.equal(torch.stack([torch.from_numpy(values) for _, values, _ in samples]), next(chunks()).images)


def test_datasets_reads_it(shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets", reason="needs datasets, which the extra `hf` installs")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    datasets.disable_progress_bars()
    found = datasets.load_dataset("webdataset", data_files={"train": str(shard)}, cache_dir=str(tmp_path / "cache"))
    assert found["train"]["cls"][:] == [0, 1, 0, 1, 0, 1]
    assert found["train"][1]["json"]["class"] == "cat"


def test_the_tar_tells_nothing_of_when_and_by_whom(shard: Path) -> None:
    with tarfile.open(shard) as archive:
        entries = archive.getmembers()
        assert {(e.mtime, e.uid, e.gid, e.uname, e.gname, e.mode) for e in entries} == {(0, 0, 0, "", "", 0o644)}
        assert [e.name for e in entries[:5]] == ["__memcli__/classes", *(f"00000000.{s}" for s in SUFFIXES)]
        told = json.loads(archive.extractfile("00000001.json").read())  # type: ignore[union-attr]
    assert told == {"class": "cat", "row": 0, "soft_label": [0.0, 0.9]}


@pytest.mark.parametrize("total", [6, 12_345_678_901])
def test_every_block_is_what_tarfile_writes(tmp_path: Path, total: int) -> None:
    path, made = tmp_path / "out.tar", io.BytesIO()
    WebDataset().export(path, DATA, chunks(), total, force=False)
    with tarfile.open(path) as archive:
        entries = archive.getmembers()
        for entry in entries:
            content = archive.extractfile(entry).read()  # type: ignore[union-attr]
            again = tarfile.TarInfo(entry.name)
            again.size = len(content)
            made.write(again.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE))
    assert path.read_bytes() == made.getvalue() + bytes(2 * tarfile.BLOCKSIZE)
    assert entries[-1].name == f"{5:0{max(8, len(str(total)))}d}.json"


def test_few_samples_at_a_time_make_the_same_file(shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memcli.exporters.webdataset._BYTES", 1000)
    WebDataset().export(tmp_path / "again.tar", DATA, chunks(), 6, force=False)
    assert (tmp_path / "again.tar").read_bytes() == shard.read_bytes()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 28, 28), (3, 5, 7), (3, 160, 150)])
def test_pictures_are_whole_png_files(shape: tuple[int, int, int]) -> None:
    images = torch.rand(2, *shape, generator=generator(0, "pictures")) * 3 - 1
    for file, pixels in zip(png_files(images), Encoding.clip(shape[0]).to_bytes(images), strict=True):
        with Image.open(io.BytesIO(file)) as picture:
            picture.verify()
        with Image.open(io.BytesIO(file)) as picture:
            assert numpy.array_equal(numpy.array(picture).reshape(pixels.shape), pixels)
        assert len(file) <= most_png_bytes(DataSpec("toy", *shape, ("a", "b"), (0.5,) * shape[0], (0.2,) * shape[0]))
