"""Tables of labels beside images: metadata.csv, trainLabels.csv, val_annotations.txt and the like."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from memcli.data.sources._labels import Label, plain
from memcli.data.sources._splits import split_of, words
from memcli.data.sources.base import listed
from memcli.errors import DataError, LimitError
from memcli.text import printable

_SUFFIXES = (".csv", ".tsv", ".txt")
_EXAMPLES = frozenset(("sample", "submission", "example"))  # words of tables that hold made-up labels
_LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "target", "breed", "species")
_MOST_BYTES = 256 << 20
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
    where a column names files and it cannot be told which column labels them.
    """
    rows = _rows(table)
    keys = _keys(table.parent, images)
    if not rows:
        return None
    tried = rows[1 : _TRIED + 1] or rows
    width = min(map(len, tried))
    matches = [sum(row[column] in keys for row in tried) for column in range(width)]
    if not any(matches):
        return None
    files = matches.index(max(matches))
    headed = rows[0][files] not in keys if len(rows[0]) > files else True
    column = _label_column(table, rows[0] if headed else None, width, files)
    labels: dict[int, str] = {}
    for row in rows[headed:]:
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


def _rows(table: Path) -> list[list[str]]:
    if table.stat().st_size > _MOST_BYTES:
        raise LimitError(f"{printable(table.name)} is larger than {_MOST_BYTES >> 20} MiB", do="Give a smaller table")
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            delimiter = max(",\t;", key=first.count)
            return [[_plain_path(cell) for cell in row] for row in csv.reader(stream, delimiter=delimiter) if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"{printable(table.name)} cannot be read: {printable(str(error))}", do="Save it as CSV in UTF-8"
        ) from error


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
