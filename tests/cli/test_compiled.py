"""The folder in which torch keeps what it compiles: a temporary one where its own cannot be written."""

import os
import tempfile
from pathlib import Path

import pytest
import tiny
from commands import outside

from memcli.cli._compiled import FOLDER, _remove, usable_folder
from memcli.errors import UsageError


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "file").touch()
    (tmp_path / "temporary").mkdir()
    (tmp_path / "recipe.toml").write_text(tiny.RECIPE)
    return tmp_path


def test_a_run_goes_on_where_what_is_compiled_cannot_be_kept(desk: Path) -> None:
    words = ("distill", "fake:n=60,test=15,classes=3,shape=1x8x8", "-o", "m", "--recipe", "recipe.toml")
    place = {FOLDER: str(desk / "file" / "cache"), "TMPDIR": str(desk / "temporary")}
    done = outside(desk, *words, "--no-compile", **place)
    assert done.returncode == 0, done.stderr
    note = f"memcli: {desk}/file/cache cannot be written (Not a directory): what is compiled is kept for this run only"
    assert done.stderr.splitlines()[0] == note
    assert not os.listdir(desk / "temporary"), "it is removed in the end"


def test_a_folder_that_can_be_written_is_left_alone(desk: Path) -> None:
    for settings in ({}, {FOLDER: str(desk / "new")}):
        before = dict(settings)
        assert (usable_folder(settings), settings) == (None, before)
    assert (desk / "new").is_dir()


def test_no_folder_at_all_is_one_line(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(desk / "file"))
    with pytest.raises(UsageError, match=r"no folder for what torch compiles \(.*Not a directory.*\)\. Set TMPDIR to"):
        usable_folder({})


def test_a_fork_does_not_remove_it(desk: Path) -> None:
    _remove(str(desk / "temporary"), os.getpid() + 1)
    assert (desk / "temporary").is_dir()
    _remove(str(desk / "temporary"), os.getpid())
    assert not (desk / "temporary").exists()
