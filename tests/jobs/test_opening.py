"""Data that is measured on: a test split alone, a fixed fifth, or all images; and how they are made to fit."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy
import pyarrow
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from memcli.data.sources import open_source
from memcli.data.spec import DataSpec
from memcli.errors import DataError, UsageError
from memcli.jobs.opening import open_aligned
from memcli.progress import Silent

SPEC = DataSpec("pets", 3, 8, 8, ("cat", "dog"), (0.5,) * 3, (0.5,) * 3)


class Notes(Silent):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def image(number: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.fromarray(numpy.random.default_rng(number).integers(0, 256, (*size, 3), numpy.uint8))


def folder(root: Path, split: str) -> str:
    for number in range(6):
        place = root / split / SPEC.classes[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        image(number).save(place / f"{number}.png")
    return f"imagefolder:{root}"


def shards(root: Path, split: str) -> str:
    folder(root / "images", "all")
    files = sorted((root / "images").rglob("*.png"))
    columns = {"image": [{"bytes": file.read_bytes()} for file in files], "label": [file.parent.name for file in files]}
    parquet.write_table(pyarrow.table(columns), root / f"{split or 'all'}.parquet")
    return f"parquet:{root / (split or 'all')}.parquet"


def arrays(root: Path, split: str) -> str:
    pixels = numpy.stack([numpy.asarray(image(number)) for number in range(6)])
    end = f"_{split}" if split else ""
    numpy.savez(root / "set.npz", **{f"x{end}": pixels, f"y{end}": [SPEC.classes[number % 2] for number in range(6)]})
    return f"npz:{root}/set.npz"


@pytest.fixture(params=[folder, shards, arrays])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Writes six images as the split that is given, or as no split, and returns the text of the source."""
    return lambda split: request.param(tmp_path, split)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_a_test_split_alone_is_enough_to_measure_on(written: Callable[[str], str], split: str) -> None:
    source = open_aligned(written(split), SPEC)
    assert source.split("test").labels.bincount().tolist() == [3, 3]
    with pytest.raises(DataError, match="pets has no train images, only test"):
        source.split("train")


def test_without_any_split_a_fifth_is_measured_on_and_all_is_offered(written: Callable[[str], str]) -> None:
    told = Notes()
    text = written("")
    fifth = open_aligned(text, SPEC, progress=told)
    assert len(fifth.split("test")) == 2
    assert "a fifth of the images is tested on: `split` all takes every image" in told.notes
    assert "images: test 2 (1 of each)" in told.notes
    everything = open_aligned(text, SPEC, split="all")
    assert everything.split("test").labels.bincount().tolist() == [3, 3]
    with pytest.raises(DataError, match="no train images"):
        everything.split("train")


def test_all_is_train_and_test_together(tmp_path: Path) -> None:
    folder(tmp_path, "train")
    text = folder(tmp_path, "test")
    assert len(open_aligned(text, SPEC, split="all").split("test")) == 12


def test_another_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`split` is 'train'"):
        open_aligned(folder(tmp_path, ""), SPEC, split="train")


def test_images_are_made_to_fit_as_those_of_the_memory_were(tmp_path: Path) -> None:
    for kind in SPEC.classes:
        (tmp_path / "test" / kind).mkdir(parents=True)
        image(0, (8, 24)).save(tmp_path / "test" / kind / "0.png")
    text = f"imagefolder:{tmp_path}"
    read = {fit: open_aligned(text, replace(SPEC, fit=fit)).split("test").images for fit in ("crop", "pad", "stretch")}
    assert not torch.equal(read["crop"], read["stretch"])
    assert read["pad"][:, :, 0].max() == 0
    source = open_source(text, image_size=8, fit="pad")
    assert torch.equal(source.split("test").images, read["pad"])
    with pytest.raises(UsageError, match="images are made to fit in an unknown way"):
        replace(SPEC, fit="zoom")


def test_train_is_read_only_where_it_is_asked_for(tmp_path: Path) -> None:
    folder(tmp_path, "train")
    text = folder(tmp_path, "test")
    told, whole = Notes(), Notes()
    open_aligned(text, SPEC, progress=told)
    open_aligned(text, SPEC, whole=True, progress=whole)
    assert "images: test 6 (3 of each)" in told.notes
    assert "images: train 6 (3 of each), test 6 (3 of each)" in whole.notes
    assert "duplicates: 6 test images are in train too, pixel by pixel" in whole.notes


def test_damaged_images_are_left_out_where_that_is_allowed(tmp_path: Path) -> None:
    text = folder(tmp_path, "test")
    (tmp_path / "test/cat/0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"0\.png cannot be read: not an image"):
        open_aligned(text, SPEC).split("test")
    told = Notes()
    assert len(open_aligned(text, SPEC, skip_damaged=1, progress=told).split("test")) == 5
    assert "left out: 1 damaged images: 'test/cat/0.png'" in told.notes
