"""Decoding a split: into the cache or into memory, what is learned from is the same, bit by bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from memcli.data import cache as caching
from memcli.data.cache_entries import entries
from memcli.data.sources import _limits, open_source, with_whitening
from memcli.data.sources.base import holdout
from memcli.data.summary import summary
from memcli.errors import DataError
from memcli.memory.spec import MemorySpec
from memcli.memory.start import start
from memcli.progress import Silent


class Told(Silent):
    """Remembers the notes and how many images were read, and ends the reading once it has read so many."""

    def __init__(self, most: int = 10**9) -> None:
        self.notes, self.began, self._most = list[str](), list[float](), most

    def begin(self, title: str, total: float | None, unit: str = "steps", done: float = 0) -> None:
        del title, total, unit
        self.began.append(done)

    def update(self, done: float, **figures: float) -> None:
        del figures
        if done >= self._most:
            raise KeyboardInterrupt

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(params=["imagefolder", "parquet", "webdataset"])
def text(request: pytest.FixtureRequest) -> str:
    """A source of each kind that decodes images, with 40 images of two classes."""
    if request.param == "imagefolder":
        return f"imagefolder:{request.getfixturevalue('folder')({'cat': 20, 'dog': 20})}"
    if request.param == "parquet":
        return f"parquet:{request.getfixturevalue('shard')('all', [0, 1] * 20)}"
    return f"webdataset:{request.getfixturevalue('tar')(40)}"


def test_from_the_cache_all_is_the_same_bit_by_bit(text: str, tmp_path: Path) -> None:
    here = open_source(text)
    first, again = (open_source(text, cache=tmp_path / "cache") for _ in range(2))
    for there in (first, again):
        assert there.fingerprint == here.fingerprint
        assert there.spec == here.spec
        assert summary(there, 0) == summary(here, 0)
        assert with_whitening(there).spec == with_whitening(here).spec
        for one, other in zip(
            holdout(here.split("train"), 2, seed=3), holdout(there.split("train"), 2, seed=3), strict=True
        ):
            assert torch.equal(one.whole(), other.whole())
            assert torch.equal(one.labels, other.labels)
        assert torch.equal(here.split("test").whole(), there.split("test").whole())
        memory = MemorySpec.from_budget(here.spec, floats=900)
        starts = [start("data", memory, source.split("train"), 0).tensors for source in (here, there)]
        assert all(torch.equal(tensor, starts[1][name]) for name, tensor in starts[0].items())
    assert {entry.contents.split for entry in entries(tmp_path / "cache")} == {"train", "test"}


def test_a_decoding_that_was_stopped_goes_on(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "_BLOCK", 7 * 192)
    for name in ("_images._BLOCK", "webdataset._BLOCK", "_pages._BATCH"):
        monkeypatch.setattr(f"memcli.data.sources.{name}", 5)  # images that are decoded together
    with pytest.raises(KeyboardInterrupt):
        open_source(text, cache=tmp_path / "cache", progress=Told(20)).split("train")
    (cut,) = entries(tmp_path / "cache")
    assert 14 <= cut.done < cut.contents.images
    told = Told()
    there = open_source(text, cache=tmp_path / "cache", progress=told)
    assert there.fingerprint == open_source(text).fingerprint
    assert told.began == [cut.done]
    assert ["are decoded once into" in note for note in told.notes] == [True]


def test_damaged_images_are_told_from_the_cache_too(folder: Callable[..., Path], tmp_path: Path) -> None:
    root = folder({"train/cat": 6, "train/dog": 6, "test/cat": 2, "test/dog": 2})
    (root / "train/dog/003.png").write_bytes(b"broken")
    text, cache = f"imagefolder:{root}", tmp_path / "cache"
    for _ in range(2):
        with pytest.raises(DataError, match=r"train/dog/003\.png cannot be read"):
            open_source(text, image_size=8, cache=cache).split("train")
    here, there = (open_source(text, image_size=8, skip_damaged=1, cache=place) for place in (None, cache))
    assert there.fingerprint == here.fingerprint
    assert there.left_out() == here.left_out() == ("train/dog/003.png",)
    assert len(there.split("train")) == 11


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_a_file_that_another_takes_the_place_of_is_told(
    kind: str, shard: Callable[..., Path], tar: Callable[[int], Path], tmp_path: Path
) -> None:
    """Images would have labels of others, or none be where it was: a cache would keep that they cannot be read."""

    def write(count: int) -> Path:
        return tar(count) if kind == "webdataset" else shard("all", [0, 1] * (count // 2)) / "all.parquet"

    source = open_source(f"{kind}:{write(20)}", cache=tmp_path / "cache")
    write(40)
    with pytest.raises(DataError, match=r"the files changed while they were read\. Read them when nothing writes"):
        source.split("train")
    assert not entries(tmp_path / "cache")


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_damaged_images_of_files_of_one_name_are_told_apart(
    kind: str, shard: Callable[..., Path], tar: Callable[[int], Path], tmp_path: Path
) -> None:
    """As the Hub writes sets: train/0000.parquet and test/0000.parquet. Where each has one, these are two."""
    for split in ("train", "test"):
        packed = tar(6).read_bytes()
        image = packed[packed.index(b"\x89PNG") :]  # the first, and what comes after it
        if kind == "parquet":
            made = shard("all", [0, 1] * 3, encoded=[b"broken", *[image] * 5]) / "all.parquet"
        else:
            made = tmp_path / "set.tar"
            made.write_bytes(packed.replace(b"\x89PNG", b"none", 1))
        (tmp_path / "set" / split).mkdir(parents=True)
        made.rename(tmp_path / "set" / split / f"0{made.suffix}")
    source = open_source(f"{kind}:{tmp_path / 'set'}", image_size=8, skip_damaged=1)
    source.split("train")
    with pytest.raises(DataError, match=r"2 images cannot be read, and `skip_damaged` allows 1: .*0+ of train/0\."):
        source.split("test")


def test_a_file_that_the_system_would_not_read_is_tried_again(folder: Callable[..., Path], tmp_path: Path) -> None:
    """As one of a network disk that is away: here a link to a file that has no byte where reading begins."""
    root, cache = folder({"cat": 10, "dog": 10}), tmp_path / "cache"
    link = root / "cat" / "003.png"
    link.unlink()
    link.symlink_to("/proc/self/mem")
    source = open_source(f"imagefolder:{root}", image_size=8, skip_damaged=1, cache=cache)
    kept = {split: len(source.split(split)) for split in ("train", "test")}
    assert sum(kept.values()) == 19
    assert source.left_out() == ("cat/003.png",)
    assert sorted(entry.done for entry in entries(cache)) == [0, min(kept.values())]


def test_what_is_too_much_for_memory_is_in_the_cache(
    folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"imagefolder:{folder({'train/cat': 6, 'train/dog': 6, 'test/cat': 2, 'test/dog': 2})}"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(_limits, "MOST_IN_MEMORY", 11 * 192)
    told = Told()
    source = open_source(text, progress=told)
    assert len(source.split("train")) + len(source.split("test")) == 16
    (kept,) = entries(tmp_path / ".cache/memcli")
    assert kept.contents.split == "train"
    assert told.notes == [f"train: 12 images, 0 MiB, are decoded once into {kept.path}"]
    monkeypatch.setattr(_limits, "MOST_IN_MEMORY", 1 << 30)
    monkeypatch.setattr("memcli.machine.available_memory", lambda: 4 * 192)
    again = open_source(text, progress=told)
    assert len(again.split("train")) + len(again.split("test")) == 16
    assert "12 images, 0 MiB, were decoded before and are read from" in told.notes[-1]
