"""Labels: one rule, whatever stored them."""

from typing import Any

import numpy
import pytest

from memcli.data.sources._labels import numbered, plain
from memcli.errors import DataError

PETS = ["cat", "dog", "cat"]


@pytest.mark.parametrize(
    ("stored", "labels"),
    [
        (numpy.array([1, 26, 3], numpy.uint8), [1, 26, 3]),
        (numpy.array([[4], [5]]), [4, 5]),
        (numpy.array([2.0, numpy.nan, -1.0]), [2, None, -1]),
        (numpy.array(PETS), PETS),
        (numpy.array(PETS, dtype="S"), PETS),
        (numpy.array(["cat", None, ""], dtype=object), ["cat", None, None]),
        (numpy.array([True, False]), ["True", "False"]),
        (numpy.eye(3)[[2, 0]], [2, 0]),
        (numpy.eye(3, dtype=bool)[[1]], [1]),
        (["e\u0301te\u0301", "\u00e9t\u00e9"], ["\u00e9t\u00e9"] * 2),
    ],
)
def test_names_whole_numbers_and_one_hot_rows_are_labels(stored: Any, labels: list[object]) -> None:
    assert plain(stored, "it") == labels


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (numpy.array([0.0, 0.5]), "it holds float64, such as 0.5, which are not one label per image"),
        (numpy.array([1e300, numpy.inf]), "float64"),
        (numpy.array([1j]), "complex128"),
        (numpy.eye(3) * 2, "float64 of shape 3x3"),
        (numpy.array([2**63], numpy.uint64), "uint64, such as 9223372036854775808"),
        (numpy.array(3), "int64 of shape"),
        (numpy.array(["", ""], "<U0"), None),
        (numpy.array([b"\xff"]), "not valid UTF-8"),
    ],
)
def test_other_types_are_said(stored: Any, message: str | None) -> None:
    if message is None:
        assert plain(stored, "it") == [None, None]
        return
    with pytest.raises(DataError, match=message):
        plain(stored, "it")


def test_the_distinct_labels_of_train_in_order_are_the_classes() -> None:
    classes, numbers = numbered({"train": [10, 2, 10], "test": [2, None]}, None)
    assert classes == ("2", "10")
    assert {split: labels.tolist() for split, labels in numbers.items()} == {"train": [1, 0, 1], "test": [0, -1]}
    assert numbered({"train": ["b", "10", "2"]}, None)[0] == ("10", "2", "b")
    assert numbered({"train": [1, -1]}, None)[0] == ("-1", "1")


def test_minus_one_alone_is_no_label() -> None:
    assert numbered({"train": [0, 1], "test": [-1, -1]}, None)[1]["test"].tolist() == [-1, -1]
    with pytest.raises(DataError, match="a label -1 beside 0"):
        numbered({"train": [0, -1, 1]}, None)
    with pytest.raises(DataError, match="the images have no labels"):
        numbered({"train": [-1, -1]}, None)


def test_named_classes_are_counted_from_zero_or_called_by_name() -> None:
    assert numbered({"train": [1, 0]}, ("cat", "dog"))[1]["train"].tolist() == [1, 0]
    assert numbered({"train": ["dog", "cat"]}, ("cat", "dog"))[1]["train"].tolist() == [1, 0]
    with pytest.raises(DataError, match="there is a label 2, with 2 classes"):
        numbered({"train": [2, 0]}, ("cat", "dog"))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"train": ["cat", "cat"]}, "one class only: 'cat'"),
        ({"train": ["train", "test"]}, "all classes are names of splits: 'test', 'train'"),
        ({"train": ["cat", 1]}, "some labels are names and some are numbers"),
        ({"train": [3, 4], "test": [5]}, "the test images have a label '5', of which there is no training image"),
        ({"train": [3, 4], "test": ["3"]}, "the test images have a label '3'"),
    ],
)
def test_labels_that_make_no_classes_are_refused(labels: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        numbered(labels, None)
