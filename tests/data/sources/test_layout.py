"""Folders of images as people have them: splits, wrappers, tables of labels, and layouts that are refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from memcli.data.sources import Source, open_source
from memcli.errors import DataError, UsageError

Folder = Callable[..., Path]


def counts(source: Source, split: str) -> list[int]:
    return torch.bincount(source.split(split).labels, minlength=len(source.classes)).tolist()


def pictures(folder: Path, *names: str) -> None:
    """Write an image at each path below `folder`."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = numpy.random.default_rng(list(name.encode())).integers(0, 256, (8, 8, 3), numpy.uint8)
        Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("wrapper", ["PetImages", "one/two", "seg_train/seg_train"])
def test_a_wrapper_is_looked_through(folder: Folder, wrapper: str) -> None:
    root = folder({f"{wrapper}/Cat": 5, f"{wrapper}/Dog": 10})
    (root / "readme.txt").write_text("two kinds of pets\n")
    source = open_source(f"imagefolder:{root}")
    assert source.classes == ("Cat", "Dog")
    assert (counts(source, "train"), counts(source, "test")) == ([4, 8], [1, 2])


def test_splits_that_an_archive_wraps_twice(folder: Folder) -> None:
    root = folder(
        {"seg_train/seg_train/a": 3, "seg_train/seg_train/b": 2, "seg_test/seg_test/a": 1, "seg_pred/seg_pred": 4}
    )
    pictures(root, "seg_test/seg_test/b/0.png")
    source = open_source(f"imagefolder:{root}")
    assert (counts(source, "train"), counts(source, "test")) == ([3, 2], [1, 1])
    assert "folders beside seg_train that are not read: 'seg_pred'" in source.notes


def test_splits_within_each_class_are_kept_apart(folder: Folder) -> None:
    root = folder({"a/train": 3, "a/test": 1, "b/train": 2, "b/test": 2})
    source = open_source(f"imagefolder:{root}")
    assert source.classes == ("a", "b")
    assert (counts(source, "train"), counts(source, "test")) == ([3, 2], [1, 2])


def test_files_that_are_named_after_a_split_are_kept_apart(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{kind}/{name}.png" for kind in "ab" for name in ("1", "2", "test_1")))
    source = open_source(f"imagefolder:{tmp_path}")
    assert (counts(source, "train"), counts(source, "test")) == ([2, 2], [1, 1])


def test_unlabelled_test_images_are_left_out_and_val_is_used(folder: Folder) -> None:
    root = folder({"train/a": 3, "train/b": 3, "val/a": 2, "val/b": 1})
    pictures(root, *(f"test/test_{number}.png" for number in range(6)))
    source = open_source(f"imagefolder:{root}")
    assert source.notes == (
        "6 of the 6 test images have no label and are left out",
        "the val images are the test split",
    )
    assert counts(source, "test") == [2, 1]


def test_a_folder_of_test_images_beside_classes_is_no_class(folder: Folder) -> None:
    source = open_source(f"imagefolder:{folder({'cat': 5, 'dog': 5, 'test': 3})}")
    assert source.classes == ("cat", "dog")
    assert "3 of the 3 test images have no label and are left out" in source.notes


def test_tiny_imagenet_is_read_with_its_annotations(folder: Folder) -> None:
    root = folder({"train/n01/images": 4, "train/n02/images": 4, "val/images": 5, "test/images": 2})
    for name in ("n01", "n02"):
        (root / "train" / name / f"{name}_boxes.txt").write_text("000.png\t0\t0\t7\t7\n")
    rows = "".join(f"{number:03}.png\tn0{1 + number % 2}\t0\t0\t7\t7\n" for number in range(5))
    (root / "val/val_annotations.txt").write_text(rows)
    source = open_source(f"imagefolder:{root}")
    assert source.classes == ("n01", "n02")
    assert (counts(source, "train"), counts(source, "test")) == ([4, 4], [3, 2])
    assert "labels are read from val_annotations.txt" in source.notes


def test_a_flat_folder_is_read_by_its_table(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{number}.png" for number in range(10)))
    rows = "".join(f"{number}.png,{('cat', 'dog')[number % 2]}\n" for number in range(9))
    (tmp_path / "metadata.csv").write_text("file_name,label\n" + rows)
    source = open_source(f"imagefolder:{tmp_path}")
    assert source.classes == ("cat", "dog")
    assert [sum(part) for part in zip(counts(source, "train"), counts(source, "test"), strict=True)] == [5, 4]
    assert "1 of the 10 train images have no label and are left out" in source.notes


def test_json_lines_label_images_as_a_table_does(tmp_path: Path) -> None:
    for number in range(6):
        Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(tmp_path / f"{number:03}.png")
    rows = [{"file_name": f"{number:03}.png", "label": "ab"[number % 2], "boxes": [1]} for number in range(6)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n3\n")
    source = open_source(f"imagefolder:{tmp_path}")
    assert source.classes == ("a", "b")
    assert len(source.split("train")) + len(source.split("test")) == 6
    assert "labels are read from metadata.jsonl" in source.notes
    (tmp_path / "metadata.jsonl").write_text("{'file_name'")
    with pytest.raises(DataError, match=r"metadata\.jsonl cannot be read: .*Save it as JSON lines in UTF-8"):
        open_source(f"imagefolder:{tmp_path}")


def test_the_flat_splits_of_a_competition_are_read_by_the_table_of_train(tmp_path: Path) -> None:
    names = [f"{kind}.{number}" for kind in ("cat", "dog") for number in range(5)]
    pictures(tmp_path, *(f"train/{name}.png" for name in names), *(f"test/{number}.png" for number in range(4)))
    (tmp_path / "trainLabels.csv").write_text("id,label\n" + "".join(f"{name},{name[:3]}\n" for name in names))
    (tmp_path / "sampleSubmission.csv").write_text("id,label\n" + "".join(f"{number},cat\n" for number in range(4)))
    source = open_source(f"imagefolder:{tmp_path}")
    assert source.classes == ("cat", "dog")
    assert (counts(source, "train"), counts(source, "test")) == ([4, 4], [1, 1])
    assert "4 of the 4 test images have no label and are left out" in source.notes


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/cat.0.png", "train/dog.0.png", "test/0.png"], "nothing labels the 2 images in .*train"),
        (["0.png", "1.png"], "nothing labels the 2 images in .*one folder, which are named such as '0.png'"),
        (["cat/0.png", "cat/1.png"], "nothing labels the 2 images in .*cat"),
        (["test/0.png"], "nothing labels"),
    ],
)
def test_images_that_nothing_labels_are_refused_with_their_folder(
    tmp_path: Path, names: list[str], message: str
) -> None:
    pictures(tmp_path, *names)
    with pytest.raises(DataError, match=rf"{message}.*metadata\.csv"):
        open_source(f"imagefolder:{tmp_path}")


def test_a_folder_without_images_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(DataError, match=r"there are no images in .*, only 'notes'"):
        open_source(f"imagefolder:{tmp_path}")


def test_a_test_split_alone_is_tested_on_and_not_learned_from(folder: Folder) -> None:
    source = open_source(f"imagefolder:{folder({'test/a': 2, 'test/b': 3})}")
    assert source.splits == ("test",)
    assert counts(source, "test") == [2, 3]
    with pytest.raises(DataError, match="pets has no train images, only test"):
        source.split("train")


def test_a_class_that_loses_most_of_its_files_is_warned_about(folder: Folder) -> None:
    root = folder({"rose": 2, "tulip": 3})
    for number in range(4):
        (root / "rose" / f"{number}.heic").touch()
    (root / "tulip" / "notes.txt").touch()
    assert (
        "the class 'rose' loses most of its files: 4 of 6 are no images that can be read ('.heic')"
        in open_source(f"imagefolder:{root}").notes
    )


@pytest.mark.parametrize("suffix", ["jfif", "JPE", "avif", "jp2", "dib", "tif"])
def test_what_pillow_reads_is_read(tmp_path: Path, suffix: str) -> None:
    pictures(tmp_path, *(f"{kind}/{number}.{suffix}" for kind in "ab" for number in range(2)))
    assert counts(open_source(f"imagefolder:{tmp_path}"), "train") == [1, 1]


def test_all_damaged_images_are_told_at_once_or_left_out(folder: Folder) -> None:
    root = folder({"Cat": 20, "Dog": 20})
    for kind in ("Cat", "Dog"):
        (root / kind / "666.jpg").write_bytes(b"")
        (root / kind / "001.png").write_bytes((root / kind / "000.png").read_bytes()[:-40])
        (root / kind / "009.png").write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"6 images cannot be read: .*`skip_damaged` 6") as caught:
        open_source(f"imagefolder:{root}").split("train")
    assert all(f"{kind}/{name}" in str(caught.value) for kind in ("Cat", "Dog") for name in ("666.jpg", "001.png"))
    with pytest.raises(DataError, match="6 images cannot be read, and `skip_damaged` allows 1"):
        open_source(f"imagefolder:{root}", skip_damaged=1).split("train")
    source = open_source(f"imagefolder:{root}", skip_damaged=6)
    assert len(source.split("train")) + len(source.split("test")) == 36
    assert len(source.left_out()) == 6
    with pytest.raises(UsageError, match="`skip_damaged` is -1"):
        open_source(f"imagefolder:{root}", skip_damaged=-1)


def test_an_image_that_git_lfs_left_out_is_told_with_the_step_that_helps(folder: Folder) -> None:
    root = folder({"a": 2, "b": 2})
    (root / "a/000.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 9\n")
    with pytest.raises(DataError, match=r"a/000.png cannot be read: a pointer of git-lfs.*git lfs pull"):
        open_source(f"imagefolder:{root}").split("train")


def test_names_that_differ_in_how_accents_are_encoded_are_one_class(folder: Folder) -> None:
    root = folder({"e\u0301te\u0301": 2, "\u00e9t\u00e9": 3, "cat": 2})
    source = open_source(f"imagefolder:{root}")
    assert source.classes == ("cat", "\u00e9t\u00e9")


def test_folders_in_folders_are_bounded(tmp_path: Path) -> None:
    folders = [f"{tmp_path}{'/d' * depth}" for depth in range(1, 1501)]
    for folder in folders:
        os.mkdir(folder)
    with pytest.raises(DataError, match="folders in folders, more than 100 deep"):
        open_source(f"imagefolder:{tmp_path}")
    for folder in reversed(folders):  # pytest would take them away by recursion
        os.rmdir(folder)


def test_links_to_folders_are_not_followed(folder: Folder) -> None:
    root = folder({"a": 2, "b": 2})
    (root / "c").symlink_to(root / "a")
    source = open_source(f"imagefolder:{root}")
    assert source.classes == ("a", "b")
    assert "skipped, being hidden or no images: 'c'" in source.notes
