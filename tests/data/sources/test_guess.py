"""Which kind of source a path is, and what is said of paths that are none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memcli.data.sources import open_source
from memcli.errors import DataError

PETS = ("cat", "dog")


def test_a_cloned_repository_of_parquet_files_is_read(shard: Callable[..., Path]) -> None:
    for name in ("train-00000-of-00001", "test-00000-of-00001"):
        root = shard(name, [0, 1, 0], PETS)
    clone = root.parent / "clone"
    (clone / ".git").mkdir(parents=True)
    root.rename(clone / "data")
    (clone / "README.md").write_text("---\nlicense: mit\n---\n")
    source = open_source(str(clone))
    assert source.notes == (f"{clone} is read as parquet:{clone}",)
    assert (len(source.split("train")), len(source.split("test"))) == (3, 3)


def test_what_save_to_disk_wrote_is_named_with_how_to_write_parquet(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "data-00000-of-00001.arrow").write_bytes(b"\xff\xff\xff\xff")
        (tmp_path / split / "state.json").write_text("{}")
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    for text in (str(tmp_path), f"imagefolder:{tmp_path}", str(tmp_path / "train")):
        with pytest.raises(DataError, match=r"save_to_disk of datasets writes.*to_parquet"):
            open_source(text)


@pytest.mark.parametrize(
    ("name", "first", "message"),
    [
        ("train.csv", b"label,pixel0\n", "a table in text.*pandas"),
        ("data_batch_1", b"\x80\x04N.", "a pickle, which can run code"),
        ("data.mdb", b"0" * 64, "LMDB.*one folder per class"),
        ("train_32x32.mat", b"0" * 64, "MATLAB.*torchvision:SVHN"),
        ("x.npy", b"0" * 64, r"an array of numpy.*numpy\.savez"),
        ("pets.zip", b"0" * 64, "a zip archive.*unzip"),
        ("pets", b"PK\x03\x04", "a zip archive.*unzip"),
        ("data.h5", b"\x89HDF", "an HDF5 file"),
        ("train.tfrecord", b"", "TFRecords"),
        ("cat.jpg", b"\xff\xd8\xff\xe0", "one image"),
        ("train.parquet", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of git-lfs.*git lfs pull"),
        ("set.npz", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of git-lfs.*git lfs pull"),
        ("set.unknown", b"", "the kind of .* cannot be guessed"),
    ],
)
def test_files_of_other_formats_are_named_with_the_step_that_helps(
    tmp_path: Path, name: str, first: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(first)
    with pytest.raises(DataError, match=message):
        open_source(str(tmp_path / name))


def test_a_guess_looks_at_few_entries_of_a_large_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memcli.data.sources._guess._MOST_ENTRIES", 3)
    for number in range(3):
        (tmp_path / f"{number}.txt").touch()
    (tmp_path / "late.parquet").touch()
    with pytest.raises(DataError, match="there are no images"):
        open_source(str(tmp_path))
