"""Folders of image files: their layouts, their litter, and their gaps."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from memcli.data.sources import open_source
from memcli.errors import DataError
from memcli.progress import Silent

Folder = Callable[..., Path]


def test_class_names_are_sorted_as_strings(folder: Folder) -> None:
    source = open_source(
        f"imagefolder:{folder({'train/10': 1, 'train/2': 1, 'train/1': 2, 'test/1': 1, 'test/2': 1, 'test/10': 1})}"
    )
    assert source.classes == ("1", "10", "2")
    assert source.split("train").labels.tolist() == [0, 0, 1, 2]
    assert source.notes == ()
    assert source.spec.name == "pets"


def test_the_pixels_are_those_of_the_files_in_order(folder: Folder) -> None:
    root = folder({"train/a": 3, "train/b": 2, "test/a": 1, "test/b": 1})
    train = open_source(f"imagefolder:{root}").split("train").images
    files = sorted((root / "train").rglob("*.png"))
    for image, file in zip(train, files, strict=True):
        assert image.permute(1, 2, 0).numpy().tobytes() == Image.open(file).tobytes()


@pytest.mark.parametrize("under", ["", "train/"])
def test_without_a_test_folder_a_fifth_is_cut_and_noted(folder: Folder, under: str) -> None:
    source = open_source(f"imagefolder:{folder({f'{under}a': 10, f'{under}b': 5})}")
    assert source.classes == ("a", "b")
    assert torch.bincount(source.split("train").labels).tolist() == [8, 4]
    assert torch.bincount(source.split("test").labels).tolist() == [2, 1]
    assert source.notes == ("there is no test split: a fixed fifth of the images is the test split",)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_stands_in_for_a_missing_test(folder: Folder, name: str) -> None:
    source = open_source(
        f"imagefolder:{folder({'train/a': 2, 'train/b': 1, f'{name}/a': 1, f'{name}/b': 1, 'extra/a': 1})}"
    )
    assert len(source.split("test")) == 2
    assert source.notes == ("folders beside train that are not read: 'extra'", "the val images are the test split")


def test_a_class_may_be_called_train(folder: Folder) -> None:
    assert open_source(f"imagefolder:{folder({'train': 2, 'car': 2})}").classes == ("car", "train")


def test_hidden_things_and_other_files_are_skipped_and_noted(folder: Folder) -> None:
    root = folder({"train/cat": 2, "train/dog": 1, "train/.ipynb_checkpoints": 1, "test/cat": 1, "__MACOSX/cat": 1})
    (root / "train/cat/.hidden.png").touch()
    (root / "train/cat/notes.txt").touch()
    (root / "train/cat/dangling.png").symlink_to("nowhere.png")
    (root / "train/cat/loop").symlink_to(root / "train")
    (root / "train/loose.png").touch()
    source = open_source(f"imagefolder:{root}")
    assert source.classes == ("cat", "dog")
    assert len(source.split("train")) == 3
    assert source.notes[0] == (
        "skipped, being hidden or no images: '__MACOSX', '.ipynb_checkpoints', '.hidden.png', 'dangling.png', 'loop'"
        " and 2 more"
    )


def test_images_at_any_depth_and_links_to_files_are_read(folder: Folder) -> None:
    root = folder({"train/cat/images": 2, "train/dog": 1, "test/cat": 1, "test/dog": 1})
    (root / "test/cat/link.PNG").symlink_to(root / "train/cat/images/000.png")
    source = open_source(f"imagefolder:{root}")
    assert len(source.split("train")) == 3
    assert torch.equal(source.split("test").images[1], source.split("train").images[0])


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"train/a": 1, "train/b": 0, "train/c": 1, "test/a": 1}, "no images in the class folder 'b'"),
        ({"train/a": 1, "train/b": 1, "test/a": 1, "test/\x1bb": 1}, r"test images have a label '\\\\x1bb', of which"),
        ({".a": 1}, "there are no images in"),
        ({"a": 1, "b": 1}, "no class has two images"),
    ],
)
def test_gaps_are_named(folder: Folder, counts: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(f"imagefolder:{folder(counts)}")


@pytest.mark.parametrize("rest", ["", "nowhere"])
def test_a_missing_folder(rest: str) -> None:
    with pytest.raises(DataError, match=f"there is no folder '{rest}'"):
        open_source(f"imagefolder:{rest}")


def test_sizes_follow_the_request(folder: Folder) -> None:
    root = folder({"train/a": 1, "train/b": 1, "test/a": 1, "test/b": 1}, size=(100, 80))
    source = open_source(f"imagefolder:{root}")
    assert source.shape == (3, 32, 32)
    assert "images of 100x80 are resized to 32x32" in source.notes[0]
    assert open_source(f"imagefolder:{root}", image_size=20).split("test").images.shape == (2, 3, 20, 20)
    fitted = open_source(f"imagefolder:{root}", shape=(1, 12, 16))
    assert fitted.split("train").images.shape == (2, 1, 12, 16)
    assert fitted.notes == ()


def test_a_grey_folder_has_one_channel(folder: Folder) -> None:
    assert open_source(f"imagefolder:{folder({'a': 3, 'b': 3}, mode='L')}").shape == (1, 8, 8)


def test_a_corrupt_file_is_named(folder: Folder) -> None:
    root = folder({"train/a": 100, "train/b": 1, "test/a": 1, "test/b": 1})
    broken = root / "train/a/050.png"
    broken.write_bytes(broken.read_bytes()[:-60])
    source = open_source(f"imagefolder:{root}")
    with pytest.raises(DataError, match=r"train/a/050\.png cannot be read: .*truncated"):
        source.split("train")


def test_a_file_that_vanishes_is_named(folder: Folder) -> None:
    root = folder({"train/a": 3, "train/b": 1, "test/a": 1, "test/b": 1})
    source = open_source(f"imagefolder:{root}")
    (root / "train/a/001.png").unlink()
    with pytest.raises(DataError, match=r"train/a/001\.png cannot be read: .*No such file"):
        source.split("train")


def test_reading_tells_how_many_images_are_read(folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(Silent):
        def begin(self, *stage: object) -> None:
            seen.append(stage)

        def update(self, done: float, **_: float) -> None:
            seen.append(done)

    monkeypatch.setattr("memcli.data.sources._images._BLOCK", 4)
    seen: list[object] = []
    root = folder({"train/cat": 3, "train/dog": 3, "test/cat": 1, "test/dog": 1})
    source = open_source(f"imagefolder:{root}", progress=Told())
    source.split("train")
    source.split("train")
    source.split("test")
    assert seen == [("reading train", 6, "images", 0), 4, 6, ("reading test", 2, "images", 0), 2]
