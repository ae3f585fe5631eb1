"""Bad data sets: each is read as docs/sources.md says, or refused by a message, and costs little either way."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import bad_arrays
import bad_folders
import numpy
import pyarrow
import pytest
from dataset_attacks import Attack
from PIL import Image
from typer.testing import CliRunner

from memcli.cli.app import app
from memcli.data.sources import open_source
from memcli.data.sources._images import Damage, Picture, _Room, decode, empty
from memcli.data.summary import summary
from memcli.errors import DataError, LimitError

ATTACKS = {
    f"{kind}, {name}": attack
    for kind, attacks in (bad_arrays.GROUPS | bad_folders.GROUPS).items()
    for name, attack in attacks.items()
    if not attack.slow  # examples/benchmarks/torture/datasets.py has those too
}
REFUSED = {name: attack for name, attack in ATTACKS.items() if attack.message}
READ = {name: attack for name, attack in ATTACKS.items() if attack.classes}


def into_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder, with room for the output beside it."""
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


@pytest.mark.parametrize("attack", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(place: Path, attack: Attack) -> None:
    result = CliRunner().invoke(app, ["distill", attack.write(place), "-o", str(place.parent / "m.safetensors"), "-q"])
    assert result.exit_code in (DataError.exit_code, LimitError.exit_code), result.stderr
    *_, error = result.stderr.splitlines()
    assert error.startswith("memcli: error: ")
    assert error.isprintable()
    assert attack.found_in(error), error


@pytest.mark.parametrize("attack", READ.values(), ids=READ)
def test_what_can_be_read_is_read_as_the_page_says(place: Path, attack: Attack) -> None:
    source = open_source(attack.write(place))
    assert source.classes == attack.classes
    assert set(summary(source, seed=0).images) == {"train", "validation", "test"}


def test_there_are_many() -> None:
    assert len(REFUSED) >= 60
    assert len(READ) >= 10


@pytest.mark.parametrize(
    "change", [Path.unlink, lambda path: path.write_bytes(b""), into_a_pipe], ids=["gone", "empty", "a pipe"]
)
def test_an_image_that_changes_while_it_is_read_is_damaged(place: Path, change: Callable[[Path], object]) -> None:
    bad_folders.good(place, ("train/cat", "train/dog"))
    source = open_source(f"imagefolder:{place}")
    change(place / "train" / "cat" / "1.png")
    with pytest.raises(DataError, match=r"train/cat/1\.png cannot be read: ."):
        source.split("train")


def test_a_table_that_loses_rows_while_it_is_read_is_refused(place: Path) -> None:
    source = open_source(bad_arrays.table(pyarrow.array([0, 1] * 5))(place))
    bad_arrays.table(pyarrow.array([0, 1]))(place)
    with pytest.raises(DataError, match="the files changed while they were read"):
        source.split("train")


def test_more_damage_in_test_than_is_allowed_is_refused_before_the_work(place: Path) -> None:
    bad_folders.good(place, ("train/cat", "train/dog", "test/cat", "test/dog"))
    for name in ("train/cat/0.png", "test/cat/0.png"):
        (place / name).write_bytes(b"")
    summary(open_source(place, skip_damaged=2), seed=0)
    for allowed in (0, 1):
        with pytest.raises(DataError, match=r"2 images cannot be read.*test/cat/0\.png.*`skip_damaged` 2"):
            summary(open_source(place, skip_damaged=allowed), seed=0)


@pytest.mark.parametrize("size", [(30, 40), (40, 30)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "RGB"])
def test_large_images_are_made_plain_in_strips_with_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch, mode: str, size: tuple[int, int]
) -> None:
    noise = numpy.random.default_rng(0).integers(0, 256, (*size, 4), dtype=numpy.uint8)
    image = Image.fromarray(noise)
    if mode == "I;16":
        image = Image.fromarray(noise[..., :2].copy().view(numpy.uint16)[..., 0])
    elif mode != "RGBA":
        image = image.convert(mode)
    stream = BytesIO()
    image.save(stream, "PNG")
    made = []
    for strip in (4_000_000, 100):
        monkeypatch.setattr("memcli.data.sources._images._STRIP", strip)
        out = empty(1, (3, *size))
        assert decode([Picture("a", stream.getvalue())], out, Damage()).all()
        made.append(out)
    assert numpy.array_equal(*made)


def test_large_images_are_decoded_by_fewer_threads_at_once() -> None:
    room, together, most = _Room(10), 0, []

    def work(_: int) -> None:
        nonlocal together
        with room.taken(4):
            with lock:
                together += 1
                most.append(together)
            time.sleep(0.001)
            with lock:
                together -= 1

    lock = threading.Lock()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(60)))
    assert max(most) == 2
    with room.taken(1000):  # larger than the room: alone
        pass
