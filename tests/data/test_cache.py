"""The cache of decoded images: what is decoded once, what is decoded again, and what is refused."""

import json
import os
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from numpy.typing import NDArray

from memcli.data import cache as caching
from memcli.data import cache_entries
from memcli.data.cache import Cached, Contents, checksum_of_files, folder_of
from memcli.data.cache_entries import clear, entries
from memcli.errors import LimitError, UsageError

PIXELS = numpy.random.default_rng(0).integers(0, 256, (50, 3, 8, 8), dtype=numpy.uint8)
CONTENTS = Contents("pets", "train", 50, (3, 8, 8), "crop", "f" * 64, "c" * 64, "Pillow 12")
LOST = (13, "dog/13.png", "broken")


@pytest.fixture(autouse=True)
def _blocks_of_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "_BLOCK", 8 * 192)


def fill(folder: Path, most: int = 50, contents: Contents = CONTENTS) -> tuple[Cached, int]:
    """Decode what the set lacks, up to `most` images in all, five at a time; and how many were there."""
    cached = Cached(folder, contents)
    with cached.filling() as filling:
        there = filling.done
        for start in range(there, most, 5):
            images = filling.room(min(5, 50 - start))
            images[:] = PIXELS[start : start + len(images)]
            filling.keep(images, [LOST] if start <= LOST[0] < start + len(images) else [])
    return cached, there


def stored(cached: Cached) -> NDArray[numpy.uint8]:
    return cached.pixels()[:].numpy()


def test_what_was_decoded_is_read_from_there(tmp_path: Path) -> None:
    cached, there = fill(tmp_path)
    assert (there, cached.is_complete) == (0, True)
    again = Cached(tmp_path, CONTENTS)
    assert again.is_complete
    assert again.damaged == [LOST]
    assert (stored(again) == PIXELS).all()
    assert fill(tmp_path)[1] == 50


def test_a_decoding_that_was_killed_goes_on_after_its_last_block(tmp_path: Path) -> None:
    fill(tmp_path, most=30)
    cut = Cached(tmp_path, CONTENTS)
    assert (cut.done, cut.is_complete, cut.damaged) == (24, False, [LOST])
    with (cut.folder / "told").open("ab") as told:
        told.write(b'{"sha256": "0')  # of the line that was being written
    cached, there = fill(tmp_path)
    assert there == 24
    assert cached.damaged == [LOST]
    assert (stored(cached) == PIXELS).all()


def test_what_may_be_read_another_time_is_not_kept(tmp_path: Path) -> None:
    cached = Cached(tmp_path, CONTENTS)
    with cached.filling() as filling:
        for start in range(0, 50, 10):
            filling.keep(PIXELS[start : start + 10], [LOST] if start == 10 else [], lasts=start != 10)
    assert cached.damaged == [LOST]
    assert (stored(cached) == PIXELS).all()
    assert Cached(tmp_path, CONTENTS).done == 8, "before the block that image 13 is in"


def test_where_an_image_cannot_be_decoded_is_nothing_else_of_this_process(tmp_path: Path) -> None:
    with Cached(tmp_path, CONTENTS).filling() as filling:
        numpy.full((5, 3, 8, 8), 255, numpy.uint8)  # gone at once, and its place taken by the next of its size
        assert not filling.room(5).any()


def test_without_a_home_the_usual_folder_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would be one of the name ~ in the current folder."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # of a container, which has no such user
    with pytest.raises(UsageError, match=r"no home folder to be kept in\. Choose a folder by `cache`"):
        folder_of(None)
    assert folder_of("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")


def damages(folder: Path) -> Iterator[tuple[str, int]]:
    """Damage the set in one way after another; how many images are left each time."""
    told, pixels = folder / "told", folder / "pixels"
    good, lines = pixels.read_bytes(), told.read_bytes().splitlines(keepends=True)

    def lines_of(second: bytes) -> bytes:
        return b"".join([*lines[:2], second, *lines[3:]])

    pixels.write_bytes(good[:2000] + bytes([good[2000] ^ 1]) + good[2001:])
    yield "a bit", 8
    pixels.write_bytes(good[:4000])
    yield "too short", 16
    pixels.unlink()
    yield "no pixels", 0
    pixels.write_bytes(good)
    told.unlink()
    yield "nothing told", 0
    for number, second in enumerate(
        (
            *(b"no JSON\n", b"[" * 100_000 + b"\n", b"{}\n", b"3\n", b'{"sha256": 1, "damaged": 2}\n', b"\xff\n"),
            b'{"sha256": "", "damaged": [[1e999, "", ""]]}\n',
        )
    ):
        told.write_bytes(lines_of(second))
        yield f"line {number}", 8
    told.write_bytes(b"x" * 1000)
    yield "another file", 0
    told.write_bytes(b"".join([lines[0].replace(b"pets", b"cats"), *lines[1:]]))
    yield "another set", 0


def test_what_is_damaged_or_another_s_is_decoded_again(tmp_path: Path) -> None:
    cached, _ = fill(tmp_path)
    for what, left in damages(cached.folder):
        assert Cached(tmp_path, CONTENTS).done == left, what
        again, there = fill(tmp_path)
        assert there == left, what
        assert (stored(again) == PIXELS).all(), what
        assert again.damaged == [LOST], what


@pytest.mark.parametrize(
    "other",
    [
        {"name": "cats"},
        {"split": "test"},
        {"shape": (3, 4, 16)},
        {"fit": "pad"},
        {"files": "0" * 64},
        {"chosen": "0" * 64},
        {"decoder": "Pillow 13"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_set_that_differs_has_a_folder_of_its_own(tmp_path: Path, other: dict[str, object]) -> None:
    fill(tmp_path)
    assert Cached(tmp_path, replace(CONTENTS, **other)).done == 0


def test_a_file_that_changes_is_another(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"some")
    before, about = checksum_of_files([file]), file.stat()
    assert checksum_of_files([file]) == before
    file.write_bytes(b"more")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))  # as an archive is unpacked
    assert checksum_of_files([file]) != before


def test_links_and_pipes_in_the_place_of_files_are_refused(tmp_path: Path) -> None:
    folder = CONTENTS.folder(tmp_path)
    folder.mkdir()
    mine = tmp_path / "mine"
    mine.write_text("kept")
    (folder / "pixels").symlink_to(mine)
    with pytest.raises(UsageError, match=r"decoded images cannot be kept in .* Choose another `cache`"):
        fill(tmp_path)
    assert mine.read_text() == "kept"
    (folder / "pixels").unlink()
    (folder / "told").unlink()
    os.mkfifo(folder / "told")
    with pytest.raises(UsageError, match="told is no regular file"):
        fill(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="decoded images cannot be kept"):
        fill(tmp_path / "file")


def test_a_disk_without_room_is_told_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caching, "_SPARE", 1 << 60)
    with pytest.raises(LimitError, match=r"take 0 MiB of disk at .* Free some, choose another `cache`"):
        fill(tmp_path)
    assert not (CONTENTS.folder(tmp_path) / "pixels").exists()


def test_a_disk_that_fills_up_is_told_and_what_is_there_stays(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30 * 192, before[1]))
    try:
        with pytest.raises(LimitError, match=r"File too large\. Free some disk space, or choose another `cache`"):
            fill(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert fill(tmp_path)[1] == 24


def test_sets_are_listed_and_cleared_and_nothing_else(tmp_path: Path) -> None:
    fill(tmp_path)
    part = replace(CONTENTS, split="test")
    fill(tmp_path, most=20, contents=part)
    (tmp_path / "images-of-mine").mkdir()
    (tmp_path / "images-of-mine" / "told").write_text("a tale")
    (tmp_path / "mine").write_text("kept")
    listed = {entry.contents: entry for entry in entries(tmp_path)}
    assert {about.split: (entry.done, entry.in_use) for about, entry in listed.items()} == {
        "train": (50, False),
        "test": (16, False),
    }
    size = sum(path.stat().st_size for path in CONTENTS.folder(tmp_path).iterdir())
    assert listed[CONTENTS].bytes == size > 50 * 192
    with Cached(tmp_path, part).filling():
        assert [entry.in_use for entry in entries(tmp_path) if entry.contents == part] == [True]
        assert [entry.contents for entry in clear(tmp_path)] == [CONTENTS]
    assert [entry.contents for entry in clear(tmp_path)] == [part]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images-of-mine", "mine"]
    assert entries(tmp_path / "nowhere") == []


def test_a_clearing_that_was_killed_goes_on_and_two_at_once_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    unlink = Path.unlink

    def dying(path: Path, *, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", dying)
        with pytest.raises(KeyboardInterrupt):
            clear(tmp_path)
    listed = entries(tmp_path)
    assert [entry.contents for entry in clear(tmp_path)] == [CONTENTS]
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(cache_entries, "entries", lambda _: listed)
    assert clear(tmp_path) == []


@pytest.mark.parametrize("head", ["{}", "3", '{"kind": "memcli images", "format": 1, "shape": [1]}', "[" * 100_000])
def test_what_tells_nonsense_is_not_listed(tmp_path: Path, head: str) -> None:
    (tmp_path / "images-0").mkdir()
    (tmp_path / "images-0" / "told").write_text(f"{head}\n")
    assert entries(tmp_path) == []


def test_a_set_of_impossible_numbers_is_not_listed(tmp_path: Path) -> None:
    for wrong in ({"images": "many"}, {"shape": [0, 0, 0]}, {"shape": []}):
        head = {**json.loads(CONTENTS.head()), **wrong}
        made = Contents(**{name: value for name, value in head.items() if name not in ("kind", "format")})
        folder = made.folder(tmp_path)
        folder.mkdir()
        (folder / "told").write_text(f"{made.head()}\n")
    assert entries(tmp_path) == []
