"""Labels: one rule for all sources that store them.

The distinct labels of train in order are the classes. Texts are names; whole numbers, whole floats and one-hot rows are
numbers, and their digits are the names. Where a source names its classes, numbers count these from 0.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from memcli.data.sources._limits import MOST_LETTERS
from memcli.data.sources._splits import are_splits
from memcli.data.sources.base import listed
from memcli.data.spec import MAX_CLASSES
from memcli.errors import DataError
from memcli.text import printable

UNLABELLED = -1  # where labels are numbered

Label = str | int | None  # None: there is none
_MOST_WHOLE = 2.0**53  # beyond, floats do not tell whole numbers apart


def plain(stored: NDArray[Any] | Sequence[Any], where: str) -> list[Label]:
    """Labels as they are stored -> one name, whole number or None each. `where` names them in a message.

    Texts that differ only in how accents are encoded become one (NFC). A text that is empty and NaN are no label.
    """
    array = numpy.asarray(stored)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    kind = array.dtype.kind
    if array.ndim == 2 and kind in "biuf" and _is_one_hot(array):
        return [int(label) for label in array.argmax(1)]
    if array.ndim == 1 and array.size and array.dtype.itemsize:
        if kind == "b":
            return [str(label) for label in array.tolist()]
        if kind in "iu" and int(array.max()) < 2**63:
            return [int(label) for label in array.tolist()]
        if kind == "f" and _is_whole(array):
            return [None if label != label else int(label) for label in array.tolist()]  # noqa: PLR0124 - NaN
        if kind in "US":
            return [_name(label) for label in array.tolist()]
        if kind == "O" and all(label is None or isinstance(label, str | bytes) for label in array):
            return [_name(label) for label in array]
    shape = f" of shape {'x'.join(map(str, array.shape))}" if array.ndim != 1 else ""
    odd = array[array != numpy.rint(array)] if kind == "f" and array.ndim == 1 else array  # what is not a label
    example = f", such as {printable(str(odd.flat[0]), 40)}" if odd.size and array.dtype.itemsize else ""
    raise DataError(
        f"{where} holds {printable(str(array.dtype))}{shape}{example}, which are not one label per image",
        do="Save names, whole numbers from 0, or one-hot rows",
    )


def _is_one_hot(array: NDArray[Any]) -> bool:
    return len(array) > 0 and bool(((array == 0) | (array == 1)).all()) and bool((array.sum(1) == 1).all())


def _is_whole(array: NDArray[Any]) -> bool:
    known = array[~numpy.isnan(array)].astype(numpy.float64)
    return bool((numpy.abs(known) < _MOST_WHOLE).all()) and bool((known == numpy.rint(known)).all())


def _name(label: str | bytes | None) -> str | None:
    if isinstance(label, bytes):
        try:
            label = label.decode()
        except UnicodeDecodeError as error:
            raise DataError(f"the label {listed([label])} is not valid UTF-8", do="Save labels as UTF-8") from error
    if label and len(label) > MOST_LETTERS:
        raise DataError(
            f"the label {printable(label, 40)!r} has {len(label):,} letters, and labels of up to {MOST_LETTERS:,} are"
            " read",
            do="Save shorter names",
        )
    return unicodedata.normalize("NFC", label) if label else None


def numbered(
    splits: Mapping[str, Sequence[Label]], names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """The names of the classes, and the labels of each split as their numbers, (N,) int64, or UNLABELLED.

    A split whose labels are all -1 has none, as hub sets write it. Raises DataError where labels and classes do not
    fit together, where there is one class only, and where classes are names of splits.
    """
    splits = {split: _without_minus_one(labels) for split, labels in splits.items()}
    first = next((labels for labels in splits.values() if any(label is not None for label in labels)), None)
    if first is None:
        raise DataError("the images have no labels", do="Add labels, or choose a source that has them")
    distinct = {label for label in first if label is not None}
    if len({type(label) for label in distinct}) > 1:
        raise DataError("some labels are names and some are numbers", do="Save all of them in one way")
    position: Mapping[Label, int]
    if names is None:
        if {-1, 0} <= distinct:
            raise DataError("there is a label -1 beside 0", do="Drop the images that have no label, or number from 0")
        ordered: list[Any] = sorted(distinct)  # all are names, or all numbers
        names, position = tuple(map(str, ordered)), {label: place for place, label in enumerate(ordered)}
    else:
        position = _positions(names, distinct)
    _require_classes(names)
    return names, {split: _numbers(labels, position, split) for split, labels in splits.items()}


def _without_minus_one(labels: Sequence[Label]) -> Sequence[Label]:
    return [None] * len(labels) if set(labels) <= {-1, None} else labels


def _positions(names: tuple[str, ...], distinct: Iterable[str | int]) -> dict[Label, int]:
    """Where each label stands among the classes that the source names."""
    if all(isinstance(label, str) for label in distinct):
        return {unicodedata.normalize("NFC", name): place for place, name in enumerate(names)}
    wrong = sorted(label for label in distinct if isinstance(label, int) and not 0 <= label < len(names))
    if wrong:
        raise DataError(f"there is a label {wrong[0]}, with {len(names)} classes", do=f"Use 0 to {len(names) - 1}")
    return {place: place for place in range(len(names))}


def _require_classes(names: tuple[str, ...]) -> None:
    if len(names) > MAX_CLASSES:
        raise DataError(
            f"there are {len(names):,} classes, such as {listed(names[:2])}, and at most {MAX_CLASSES:,} are learned",
            do="Give labels that several images share",
        )
    if len(names) == 1:
        raise DataError(f"there is one class only: {listed(names)}", do="Give images of two classes or more")
    if are_splits(names):
        raise DataError(
            f"all classes are names of splits: {listed(names)}",
            do="Name the classes, and not the splits, in the labels",
        )


def _numbers(labels: Sequence[Label], position: Mapping[Label, int], split: str) -> Tensor:
    unknown = next((label for label in labels if label is not None and label not in position), None)
    if unknown is not None:
        raise DataError(
            f"the {split} images have a label {listed([unknown])}, of which there is no training image",
            do="Add some, or drop the label",
        )
    return torch.tensor([UNLABELLED if label is None else position[label] for label in labels], dtype=torch.int64)
