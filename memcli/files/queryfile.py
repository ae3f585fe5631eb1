"""Label vectors from a file: what is asked of a memory, n at once. Nothing in it is run, and its size is bounded.

.json   a list of vectors, each a list of one number for each class, or an object {class name: weight, ...}
.csv    a line for each vector; above them there may be a line with the class names of the columns
.npy    numbers of shape (n, classes) or (classes,)
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from memcli.errors import DataError, LimitError, UsageError
from memcli.memory.query import checked_weights, class_number, parse_query
from memcli.memory.spec import MemorySpec
from memcli.text import printable

Asked = str | int | Path | Tensor | Sequence[float] | numpy.ndarray  # what one query may be
_MOST_BYTES = 2**24  # of a file: 16 MiB


def label_vectors(asked: Asked, spec: MemorySpec) -> Tensor:
    """The label vectors that `asked` stands for, (q, classes) float32.

    It is a text of `parse_query`, the number of a class, a path to a file (as text too, if it ends in .json, .csv or
    .npy), or vectors, (classes,) or (q, classes). Raises UsageError for what is none of these or does not fit the
    memory's classes, DataError for a file that cannot be read, and LimitError for one over 16 MiB.
    """
    classes = spec.data.classes
    if isinstance(asked, bool):
        raise UsageError(f"{asked} is no query", do="Give a class, by name or by number")
    if isinstance(asked, int):
        if not 0 <= asked < len(classes):
            raise UsageError(f"there is no class {asked}", do=f"Give 0 to {len(classes) - 1}")
        return torch.nn.functional.one_hot(torch.tensor([asked]), len(classes)).float()
    if isinstance(asked, Path) or (isinstance(asked, str) and _names_file(asked, spec)):
        return read(Path(asked), spec)
    if isinstance(asked, str):
        return parse_query(asked, spec)
    vectors = torch.as_tensor(asked)
    if vectors.ndim not in (1, 2) or vectors.shape[-1] != len(classes) or not len(vectors):
        raise UsageError(
            f"the label vector has shape {tuple(vectors.shape)}",
            do=f"Give one number for each of {len(classes)} classes",
        )
    return checked_weights(vectors.reshape(-1, len(classes)))


def read(path: Path, spec: MemorySpec) -> Tensor:
    """The label vectors of the file at `path`, (n, classes) float32, n at least 1. Raises as `label_vectors` does."""
    shown = printable(str(path))
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{shown} is no file of label vectors", do=f"Give one that ends in {', '.join(_READERS)}")
    try:
        if not path.is_file():
            raise DataError(f"there is no file {shown}", do="Check the path, or ask for a class")
        if path.stat().st_size > _MOST_BYTES:
            raise LimitError(f"{shown} is larger than {_MOST_BYTES >> 20} MiB", do="Split it")
        return label_vectors(reader(path, spec), spec)
    except (OSError, ValueError, TypeError, RuntimeError, OverflowError, csv.Error) as error:
        reason = printable(str(error))
        raise DataError(f"{shown} holds no vectors: {reason}", do="docs/pictures.md says what it may hold") from error


def _names_file(text: str, spec: MemorySpec) -> bool:
    return text not in spec.data.classes and Path(text).suffix.lower() in _READERS


def _read_json(path: Path, spec: MemorySpec) -> Tensor:
    given = json.loads(path.read_bytes())
    rows = given if isinstance(given, list) and given and isinstance(given[0], list | dict) else [given]
    return torch.stack([_named(row, spec) if isinstance(row, dict) else torch.tensor(_numbers(row)) for row in rows])


def _read_csv(path: Path, spec: MemorySpec) -> Tensor:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = [line for line in csv.reader(file, strict=True) if line]
    names = lines.pop(0) if lines and _are_names(lines[0], spec) else None
    rows = [[float(cell) for cell in line] for line in lines]
    if not rows:
        raise ValueError("it has no line of numbers")
    return torch.tensor(rows) if names is None else torch.stack([_row(names, row, spec) for row in rows])


def _are_names(line: list[str], spec: MemorySpec) -> bool:
    """Whether the first line of a table names the columns; the classes may be called 0, 1, 2."""
    classes = spec.data.classes
    return not all(map(_is_number, line)) or (len(classes) > 2 and tuple(line) == classes)


def _read_npy(path: Path, spec: MemorySpec) -> Tensor:
    del spec
    array = numpy.lib.format.open_memmap(path, mode="r")  # mapped: a header that lies about its size costs nothing
    if array.dtype.kind not in "fiub":
        raise ValueError(f"it holds {array.dtype}, and not numbers")
    return torch.from_numpy(array.astype(numpy.float64))


def _row(names: list[str], row: list[float], spec: MemorySpec) -> Tensor:
    if len(set(names)) != len(names):
        raise ValueError("two columns have the same name")
    return _named(dict(zip(names, row, strict=True)), spec)


def _named(weights: dict[str, Any], spec: MemorySpec) -> Tensor:
    """The vector (classes,) of weights by class name; classes that are not named have 0."""
    label = torch.zeros(len(spec.data.classes), dtype=torch.float64)
    for name, weight in zip(weights, _numbers(list(weights.values())), strict=True):
        label[class_number(name if name in spec.data.classes else name.strip(), spec)] = weight
    return label


def _numbers(row: Any) -> list[float]:
    if not isinstance(row, list) or not all(type(value) in (int, float) for value in row):
        raise ValueError(f"{str(row)[:80]} is no list of numbers")
    return [float(value) for value in row]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_READERS = {".json": _read_json, ".csv": _read_csv, ".npy": _read_npy}
