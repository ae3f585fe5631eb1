"""`--cache` and `memcli cache`: image files are decoded once, for all commands, and the results are the same bytes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from memcli.data.sources import open_source
from memcli.files import runfolder


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images, in the current folder; the home is there too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    tiny.write_images(tmp_path / "pets")
    (tmp_path / "r.toml").write_text(tiny.RECIPE)
    return tmp_path / "pets"


def sets(run: Callable, *given: object) -> list[dict]:
    return json.loads(run("cache", *given, "--json").stdout)["sets"]


@pytest.mark.usefixtures("pets")
def test_by_the_cache_the_memory_is_the_same_file(run: Callable, tmp_path: Path) -> None:
    common = ("--recipe", "r.toml", "--device", "cpu", "--ipc", "1")
    for output, given in (("here", ()), ("there", ("--cache", "c")), ("again", ("--cache", "c"))):
        made = run("distill", "pets", "-o", output, *common, *given)
        assert made.exit_code == 0, made.output
        assert (tmp_path / "here").read_bytes() == (tmp_path / output).read_bytes()
    assert "train: 20 images, 0 MiB, were decoded before and are read from c/images-" in made.stderr
    assert runfolder.asked(tmp_path / "again")["cache"] == "c", "where --resume goes on without it"


@pytest.mark.usefixtures("pets")
def test_all_commands_that_read_images_take_the_cache(run: Callable, tmp_path: Path) -> None:
    for command in (
        ("distill", "pets", "-o", "m", "--recipe", "r.toml", "--ipc", "1", "--device", "cpu"),
        ("eval", "m", "--data", "pets", "--runs", "1", "--device", "cpu"),
        ("retrain", "m", "-o", "net", "--data", "pets", "--device", "cpu"),
        ("report", "m", "-o", "page.html", "--data", "pets", "--runs", "1", "--baselines", "", "--device", "cpu"),
        ("continual", "split:pets:1", "-o", "tasks", "--steps", "1"),
    ):
        ended = run(*command, "--cache", "c")
        assert ended.exit_code == 0, ended.output
        assert "test: 4 images, 0 MiB, are decoded once into c/images-" in ended.stderr, command
        assert "test" in {each["split"] for each in sets(run, "clear", "--cache", "c")}, command
    assert not list((tmp_path / "c").iterdir())


@pytest.mark.usefixtures("pets")
def test_the_list_and_its_end(run: Callable, tmp_path: Path) -> None:
    assert run("cache", "ls").stdout.split() == ["total", "0", "sets,", "0", "MiB"]
    source = open_source("pets", cache="~/.cache/memcli")
    assert len(source.split("train")) + len(source.split("test")) == 24
    told = sets(run, "ls")
    assert sorted((each["name"], each["split"], each["images"], each["done"], each["in_use"]) for each in told) == [
        ("pets", "test", 4, 4, False),
        ("pets", "train", 20, 20, False),
    ]
    assert "pets train, 20 of 3x8x8, 0 MiB" in run("cache", "ls").stdout
    assert sets(run, "clear") == told
    assert list((tmp_path / ".cache/memcli").iterdir()) == []
    assert run("cache", "burn").exit_code == 2
