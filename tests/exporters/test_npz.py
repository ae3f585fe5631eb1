"""What npz files do beyond the contract."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from memcli.data.sources import open_source
from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.exporters.base import RecalledChunk
from memcli.exporters.npz import Npz
from memcli.seeds import generator

DATA = DataSpec("toy", 3, 5, 6, ("dog", "cat"), (0.5,) * 3, (0.2,) * 3)


def chunks(count: int) -> Iterator[RecalledChunk]:
    images = torch.rand(count, 3, 5, 6, generator=generator(0, "npz"))
    labels = torch.eye(2)[torch.arange(count) % 2]
    yield RecalledChunk(images, torch.arange(count) // 2, labels, labels)


def test_the_file_is_read_back_by_npz(tmp_path: Path) -> None:
    Npz().export(tmp_path / "out.npz", DATA, chunks(10), 10, force=False)
    source = open_source(str(tmp_path / "out.npz"))
    assert source.classes == DATA.classes
    train, test = source.split("train"), source.split("test")
    assert len(train) + len(test) == 10
    wanted = (next(chunks(10)).images * 255).round().byte()
    assert torch.equal(
        train.images, wanted[[i for i in range(10) if any((wanted[i] == x).all() for x in train.images)]]
    )


def test_the_zip_holds_no_date_and_no_compression(tmp_path: Path) -> None:
    Npz().export(tmp_path / "out.npz", DATA, chunks(2), 2, force=False)
    with zipfile.ZipFile(tmp_path / "out.npz") as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.compress_type == zipfile.ZIP_STORED


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        Npz().export(tmp_path / "none" / "out.npz", DATA, chunks(2), 2, force=False)
