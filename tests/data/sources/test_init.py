"""How a text becomes a source."""

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from memcli.data.sources import open_source, schemes
from memcli.errors import DataError, UsageError


def test_schemes_have_help() -> None:
    assert [scheme for scheme, _ in schemes()] == [
        *("digits", "torchvision", "imagefolder", "parquet", "npz", "idx", "hf", "webdataset", "cifar", "fake")
    ]
    assert all(line and "\n" not in line for _, line in schemes())


def test_an_unknown_scheme_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"unknown kind of source 'ftp'.*digits:, torchvision:, imagefolder:"):
        open_source("ftp:cifar10")


@pytest.mark.parametrize("text", ["", "a\0b"])
def test_a_text_that_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no data"):
        open_source(text)


def test_a_missing_path_is_a_data_error() -> None:
    with pytest.raises(DataError, match="there is no file or folder 'nowhere"):
        open_source("nowhere/at/all")


def test_a_drive_of_windows_is_a_path() -> None:
    with pytest.raises(DataError, match=r"there is no file or folder 'C:\\\\photos'"):
        open_source("C:\\photos")


def test_a_home_folder_is_written_as_a_tilde(
    folder: Callable[..., Path], idx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder({"cat": 2, "dog": 2})
    monkeypatch.setenv("HOME", str(root.parent))
    for text in ("imagefolder:~/pets", "~/pets"):
        assert open_source(text).classes == ("cat", "dog")
    assert open_source("torchvision:MNIST@~/root").shape == (1, 28, 28)
    (idx / "MNIST" / "processed").mkdir()
    with pytest.raises(DataError, match="pickled files of an old torchvision"):
        open_source("torchvision:MNIST@~/root")


def test_bare_paths_are_guessed_and_the_guess_is_noted(
    folder: Callable[..., Path], shard: Callable[..., Path], npz: Callable[..., Path], idx: Path, tar: Callable
) -> None:
    shards = shard("all", [0, 1, 0, 1])
    arrays = npz(images=numpy.zeros((4, 8, 8), numpy.uint8), labels=numpy.array([0, 1, 0, 1]))
    for path, scheme in (
        (folder({"cat": 2, "dog": 2}), "imagefolder"),
        (shards, "parquet"),
        (shards / "all.parquet", "parquet"),
        (arrays, "npz"),
        (idx / "MNIST" / "raw", "idx"),
        (tar(6), "webdataset"),
    ):
        assert open_source(str(path)).notes[0] == f"{path} is read as {scheme}:{path}"
        assert f"is read as {scheme}" not in "".join(open_source(f"{scheme.upper()}:{path}").notes)


def test_a_folder_of_pickles_is_known_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").touch()
    with pytest.raises(DataError, match="are pickles, which can run code"):
        open_source(tmp_path)


def test_a_built_in_name_is_no_guess_unless_a_path_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_source("digits").notes == ()
    (tmp_path / "digits").mkdir()
    assert open_source("digits").notes == ("digits is the built-in set: write ./digits for the path of that name",)


def test_a_size_is_refused_where_it_would_do_nothing() -> None:
    with pytest.raises(UsageError, match="images of digits: cannot be resized"):
        open_source("digits", image_size=16)
    with pytest.raises(UsageError, match="images of digits: cannot be made to fit"):
        open_source("digits", fit="pad")
    with pytest.raises(UsageError, match="there is no fit 'zoom'"):
        open_source("digits", fit="zoom")


@pytest.mark.parametrize("scheme", ["", "imagefolder:", "npz:", "parquet:"])
def test_a_path_that_the_system_refuses(scheme: str) -> None:
    with pytest.raises(DataError, match=r"cannot be read|there (is|are) no"):
        open_source(scheme + "x" * 5000)
