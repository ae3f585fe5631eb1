"""Tables of labels beside images: metadata.csv, metadata.jsonl, trainLabels.csv, val_annotations.txt and the like."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import TextIO

from memcli.data.sources._labels import Label, plain
from memcli.data.sources._splits import split_of, words
from memcli.data.sources.base import listed
from memcli.errors import DataError, LimitError
from memcli.text import printable

_JSON_LINES = ".jsonl"
_SUFFIXES = (".csv", ".tsv", ".txt", _JSON_LINES)
_EXAMPLES = frozenset(("sample", "submission", "example"))  # words of tables that hold made-up labels
_LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "target", "breed", "species")
_MOST_BYTES, _LONGEST_ROW = 256 << 20, 1 << 18  # bytes of a table, letters of a row
_TRIED = 50  # rows that a column is recognised by


def is_table(name: str, split: str | None) -> bool:
    """Whether a file of that name can label the images of `split`."""
    path = Path(name)
    said = words(path.stem)
    usual = path.suffix.lower() != ".txt" or bool({"annotations", "labels"} & set(said))
    mine = split_of(path.stem) in (None, split or "train")
    return path.suffix.lower() in _SUFFIXES and usual and mine and not _EXAMPLES & set(said)


def labels_from(table: Path, images: Sequence[Path]) -> list[Label] | None:
    """The label of each image, as `table` has it (None where it has none), or None where it names no image.

    A file is named by its path from the table's folder, by its name, or by its name without a suffix. Raises DataError
    where the table is damaged, or a column names files and it cannot be told which column labels them.
    """
    keys = _keys(table.parent, images)
    rows = _rows(table)
    first = list(islice(rows, _TRIED + 1))
    if not first:
        return None
    tried = first[1:] or first
    width = min(map(len, tried))
    matches = [sum(row[column] in keys for row in tried) for column in range(width)]
    if not any(matches):
        return None
    files = matches.index(max(matches))
    headed = first[0][files] not in keys if len(first[0]) > files else True
    column = _label_column(table, first[0] if headed else None, width, files)
    labels: dict[int, str] = {}
    for row in chain(first[headed:], rows):
        if len(row) > max(files, column) and row[files] in keys:
            labels[keys[row[files]]] = row[column].strip()
    return plain([labels.get(place) for place in range(len(images))], printable(table.name)) if labels else None


def _keys(root: Path, images: Sequence[Path]) -> dict[str, int]:
    """What a table may call each image, with its place; what two images would be called stands for neither."""
    keys: dict[str, int] = {}
    shared: set[str] = set()
    for place, image in enumerate(images):
        for key in {image.name, image.stem}:
            if key in keys:
                shared.add(key)
            keys[key] = place
    for key in shared:
        del keys[key]
    for place, image in enumerate(images):
        if image.is_relative_to(root):
            keys[image.relative_to(root).as_posix()] = place
    return keys


def _rows(table: Path) -> Iterator[list[str]]:
    """The cells of each row, one row at a time. Of JSON lines, first the names of the columns, which are the keys."""
    if table.stat().st_size > _MOST_BYTES:
        raise LimitError(f"{printable(table.name)} is larger than {_MOST_BYTES >> 20} MiB", do="Give a smaller table")
    read, format = (_json_rows, "JSON lines") if table.suffix.lower() == _JSON_LINES else (_csv_rows, "CSV")
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            yield from ([_plain_path(cell) for cell in row] for row in read(stream) if row)
    except (csv.Error, ValueError, RecursionError) as error:  # of ValueError: what is no UTF-8, and what is no JSON
        raise DataError(
            f"{printable(table.name)} cannot be read: {printable(str(error))}", do=f"Save it as {format} in UTF-8"
        ) from error


def _csv_rows(stream: TextIO) -> Iterator[list[str]]:
    size = 0

    def lines() -> Iterator[str]:
        """The lines of the stream, as many as a row may have."""
        nonlocal size
        while line := stream.readline(_LONGEST_ROW + 1):
            size += len(line)
            if size > _LONGEST_ROW:
                raise ValueError(f"a row has more than {_LONGEST_ROW:,} letters")
            yield line

    first = stream.readline(_LONGEST_ROW + 1)
    stream.seek(0)
    for row in csv.reader(lines(), delimiter=max(",\t;", key=first.count)):
        size = 0
        yield row


def _json_rows(stream: TextIO) -> Iterator[list[str]]:
    columns: list[str] = []
    while line := stream.readline(_LONGEST_ROW + 1):
        if len(line) > _LONGEST_ROW:
            raise ValueError(f"a row has more than {_LONGEST_ROW:,} letters")
        told = json.loads(line) if line.strip() else None
        if not isinstance(told, dict):
            continue
        if not columns:
            columns = list(told)
            yield columns
        yield [str(value) if isinstance(value := told.get(name), str | int | float) else "" for name in columns]


def _plain_path(cell: str) -> str:
    cell = cell.strip()
    return PurePosixPath(cell).as_posix() if cell.startswith("./") else cell


def _label_column(table: Path, header: Sequence[str] | None, width: int, files: int) -> int:
    """Which column holds the labels: the only other one, or the first that has a usual name."""
    others = [column for column in range(width) if column != files]
    if header is None:
        if others and files + 1 in others:
            return files + 1  # as in val_annotations.txt, where numbers of a box follow
        raise DataError(f"{printable(table.name)} names files and no labels", do="Add a column called label")
    named: Mapping[str, int] = {
        header[column].strip().lower(): column for column in reversed(others) if column < len(header)
    }
    usual = [named[name] for name in _LABEL_NAMES if name in named]
    if len(others) != 1 and not usual:
        raise DataError(
            f"{printable(table.name)} has {len(others)} columns that could be the labels: {listed(named) or 'none'}",
            do="Call one of them label",
        )
    return usual[0] if usual else others[0]
