"""Names of splits: whole words, in any case, of folders, files and arrays."""

import pytest

from memcli.data.sources._splits import are_splits, split_of, split_of_folder, split_of_image


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(
            ("train", "train"),
            ("training", "train"),
            ("TRAIN", "train"),
            ("train2017", "train"),
            ("trainLabels", "train"),
        ),
        *(("X_train", "train"), ("seg_train", "train"), ("cifar10-train", "train"), ("train-00000-of-00005", "train")),
        *(("val", "val"), ("valid", "val"), ("validation", "val"), ("dev", "val"), ("eval", "val"), ("val_0", "val")),
        *(("test", "test"), ("testing", "test"), ("mnist_test", "test"), ("Test-set", "test"), ("train_test", "test")),
        *(("latest", None), ("trains", None), ("retrain", None), ("device", None), ("valley", None), ("data", None)),
    ],
)
def test_a_split_is_a_whole_word(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_what_says_test_anywhere_in_its_path_is_test() -> None:
    assert split_of("train", "part", "test-0000") == "test"
    assert split_of("validation", "train-0000") == "val"
    assert split_of("default", "train", "0000") == "train"


def test_a_folder_is_a_split_where_its_name_says_nothing_else() -> None:
    assert [split_of_folder(name) for name in ("seg_train", "test_set", "Training Data", "val2017")] == [
        *("train", "test", "train", "val")
    ]
    assert [split_of_folder(name) for name in ("steam train", "test tubes", "images", "cat")] == [None] * 4
    assert are_splits(["train", "test"])
    assert not are_splits(["train", "cat"])


def test_an_image_is_of_a_split_by_its_first_word() -> None:
    assert split_of_image("test_001.png") == "test"
    assert split_of_image("pregnancy test 1.png") is None
    assert split_of_image("001.png") is None
