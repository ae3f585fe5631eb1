"""The footer of a Parquet file: where the columns of each row group lie.

pyarrow reads it too, but its RowGroupMetaData.column() ends the process where a column's statistics are of another size
than its type asks for (26.0.1). FileMetaData, RowGroup and ColumnMetaData are structs of parquet.thrift
(apache/parquet-format).
"""

import io
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from memcli.data.sources._thrift import CompactReader
from memcli.errors import LimitError
from memcli.text import printable

_END, _MAGIC = 8, b"PAR1"  # a footer is followed by its length in four bytes, and by these
_MOST_BYTES, _MOST_VALUES = 64 << 20, 2_000_000  # of a footer: a column of a row group has about forty values
_MOST_COLUMNS = 100_000  # of all row groups: pyarrow takes a kilobyte for each


class Column(NamedTuple):
    """A column of a row group."""

    values: int  # those that are missing among them
    size: int  # bytes
    start: int  # where its first page lies


class Group(NamedTuple):
    """A row group."""

    rows: int
    columns: list[Column]  # those of the schema that hold values, in its order


def footer(path: Path) -> list[Group]:
    """The row groups of a Parquet file. ValueError where its footer is damaged; LimitError where it is too large."""
    with path.open("rb") as stream:
        end = stream.seek(0, io.SEEK_END) - _END
        stream.seek(max(end, 0))
        tail = stream.read(_END)
        start = end - int.from_bytes(tail[:4], "little")
        if len(tail) < _END or tail[4:] != _MAGIC or start < len(_MAGIC):
            raise ValueError("it ends in no footer")
        if end - start > _MOST_BYTES:
            raise LimitError(
                f"the footer of {printable(path.name)} takes {end - start >> 20} MiB",
                do="Write it in larger row groups",
            )
        stream.seek(start)
        content = io.BytesIO(stream.read(end - start))
    groups = [_group(group) for group in _list(CompactReader(content, _MOST_VALUES).struct().get(4))]
    if sum(len(group.columns) for group in groups) > _MOST_COLUMNS:
        raise LimitError(
            f"{printable(path.name)} has {len(groups):,} row groups, with more than {_MOST_COLUMNS:,} columns in all",
            do="Write it in larger row groups",
        )
    return groups


def _group(fields: Any) -> Group:
    if not isinstance(fields, dict) or not _is_count(fields.get(3)):
        raise ValueError("a row group lacks its number of rows")
    return Group(fields[3], [_column(column) for column in _list(fields.get(1))])


def _column(fields: Any) -> Column:
    about = fields.get(3) if isinstance(fields, dict) else None
    if not isinstance(about, dict) or not all(_is_count(about.get(number)) for number in (5, 7, 9)):
        raise ValueError("a column lacks its place, its size or its number of values")
    start, dictionary = about[9], about.get(11)
    return Column(about[5], about[7], dictionary if _is_count(dictionary) and 0 < dictionary < start else start)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("it lacks its row groups or their columns")
    return value


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and value >= 0
