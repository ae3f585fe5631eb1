"""What parquet does beyond the contract: Hugging Face `datasets` opens it, and memcli reads it again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from memcli.data.sources import open_source
from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.exporters.base import RecalledChunk
from memcli.exporters.parquet import Parquet
from memcli.seeds import generator

DATA = DataSpec("toy", 1, 5, 6, ("dog", "cat"), (0.5,), (0.2,))


def chunks(count: int = 10) -> Iterator[RecalledChunk]:
    images = torch.randn(count, 1, 5, 6, generator=generator(0, "parquet"))
    labels = torch.eye(2)[torch.arange(count) % 2]
    yield RecalledChunk(images, torch.arange(count) // 2, labels, labels * 0.9)


@pytest.fixture
def load_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    datasets = pytest.importorskip("datasets", reason="needs datasets, which the extra `hf` installs")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    datasets.disable_progress_bars()
    return lambda *args, **settings: datasets.load_dataset(*args, **settings, cache_dir=str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_datasets_opens_it_with_names_pictures_and_exact_values(name: str, tmp_path: Path, load_dataset: Any) -> None:
    Parquet().export(tmp_path / name, DATA, chunks(), 10, force=False)
    where = str(tmp_path / name)
    found = load_dataset(where) if name == "out" else load_dataset("parquet", data_files=where)
    train = found["train"]
    assert train.features["label"].names == ["dog", "cat"]
    assert train[1]["image"].size == (6, 5)
    assert train["label"][:4] == [0, 1, 0, 1]
    tensors = train.with_format("torch")[:]
    assert torch.equal(tensors["pixels"], next(chunks()).images)
    assert torch.equal(tensors["soft_label"], next(chunks()).labels)


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_memcli_reads_it_again(name: str, tmp_path: Path) -> None:
    Parquet().export(tmp_path / name, DATA, chunks(), 10, force=False)
    source = open_source(tmp_path / name)
    assert (source.classes, source.shape) == (DATA.classes, DATA.shape)
    wanted = (next(chunks()).images.clamp(0, 1) * 255).round().byte()
    read = torch.cat([source.split("train").images, source.split("test").images])
    assert sorted(map(torch.Tensor.tolist, read)) == sorted(map(torch.Tensor.tolist, wanted))


def test_large_images_come_in_groups_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow.parquet import ParquetFile

    monkeypatch.setattr("memcli.exporters.parquet._GROUP", 4 * 30 * 4)  # four images of 30 numbers
    Parquet().export(tmp_path / "out.parquet", DATA, chunks(), 10, force=False)
    with ParquetFile(tmp_path / "out.parquet") as file:
        assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [4, 4, 2]


@pytest.mark.parametrize("name", ["parquet", "webdataset"])
def test_images_that_are_no_pictures_are_refused(name: str, tmp_path: Path) -> None:
    from memcli.exporters import EXPORTERS

    data = DataSpec("toy", 2, 5, 6, ("dog", "cat"), (0.5,) * 2, (0.2,) * 2)
    with pytest.raises(UsageError, match=r"1 or 3 channels, and these have 2\. Use `format` npz"):
        EXPORTERS[name].export(tmp_path / "out", data, chunks(), 10, force=False)
