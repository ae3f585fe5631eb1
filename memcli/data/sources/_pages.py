"""What the pages of a Parquet file unpack to, told by the head of each page before any of them is unpacked.

pyarrow does not tell it, and unpacks what the heads say; the sums in a file's footer may be anything. A column of a row
group is a series of pages: a head, a struct in Thrift's compact protocol (PageHeader in parquet.thrift of
apache/parquet-format), then so many packed bytes as it says.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from memcli.data.sources._footer import Column, Group
from memcli.data.sources._limits import MAX_BYTES, MOST_ENCODED, MOST_LABEL_BYTES, require_room
from memcli.data.sources._thrift import CompactReader
from memcli.errors import LimitError
from memcli.text import printable

_TIMES = 100  # so many times what it takes on disk may a page, or a file, unpack to, beyond what is allowed to any
_FILE_BYTES, _PAGE_BYTES = 1 << 30, 64 << 20  # which is this
_BATCH, _BATCH_BYTES = 1024, 256 << 20  # rows read at a time, at most, and about how many bytes
_SHARED_BYTES = 128 << 20  # likewise, where every row is the largest value that a dictionary can hold
_VALUE_BYTES = 8  # of a label, at most: lists of them are read whole

_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3  # kinds of pages, and the field of the head that describes each
_ABOUT = {_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}
_ENCODING = {_DATA: 2, _DICTIONARY: 2, _DATA_2: 4}  # the number of that field in the description; values are 1
_UNBOUNDED = {6: "DELTA_LENGTH_BYTE_ARRAY", 7: "DELTA_BYTE_ARRAY"}  # a few bytes of a page may stand for gigabytes

_MOST_VALUES, _INT = 1000, 1 << 31  # more values than a head has; beyond 32 bits


def most_unpacked(path: Path) -> int:
    """The most bytes that the file may unpack to."""
    return _FILE_BYTES + _TIMES * path.stat().st_size


class _Page(NamedTuple):
    """A page, as its head describes it."""

    kind: int
    unpacked: int  # bytes
    packed: int
    values: int  # nulls among them
    encoding: int


def rows_at_a_time(file: Any, groups: list[Group], column: str, path: Path) -> int:
    """So many rows of `column` that they take little memory. LimitError where pages, a row group or all are too large.

    `file`, pyarrow's, and `groups`: those of `path`. A value that a file holds once, in a dictionary, may be that of
    every row. ValueError where a row group or the head of a page is damaged.
    """
    name = printable(path.name)
    kind, count = file.schema_arrow.field(column).type, len(file.schema)
    places = [place for place in range(count) if f"{file.schema.column(place).path}.".startswith(f"{column}.")]
    largest = shared = unpacked = 0
    with path.open("rb") as stream:
        for group in groups:
            if len(group.columns) != count:
                raise ValueError(f"a row group has {len(group.columns)} columns, and the schema {count}")
            columns = [group.columns[place] for place in places]
            _require_short_lists(columns, group.rows, kind, name)
            size = row = 0
            for chunk in columns:
                pages = [0]  # bytes a value
                for page in _pages(stream, chunk):
                    _require_fair(page, name)
                    size += page.unpacked
                    if page.kind == _DICTIONARY:
                        shared = max(shared, page.unpacked)
                    else:
                        pages.append(page.unpacked // page.values)
                row += max(pages)
            if max(size, sum(chunk.size for chunk in columns)) > MAX_BYTES:
                raise LimitError(f"{name} has {size >> 30} GiB in one row group", do="Write it in smaller row groups")
            largest, unpacked = max(largest, row), unpacked + size
    if shared > MOST_ENCODED:
        raise LimitError(
            f"{name} may have {shared >> 20} MiB in one value, and images up to {MOST_ENCODED >> 20} are read",
            do="Write it without dictionaries",
        )
    if unpacked > most_unpacked(path):
        raise LimitError(
            f"{name} unpacks to {unpacked >> 30} GiB, more than {_TIMES} times its size",
            do="Write it again, or give fewer rows",
        )
    rows = min(_BATCH_BYTES // max(largest, 1), _SHARED_BYTES // max(shared, 1))
    return min(max(rows, 1), _BATCH)


def _require_short_lists(columns: list[Column], rows: int, kind: Any, name: str) -> None:
    """Raise LimitError where the lists of a row group, of type `kind`, hold more values than labels may.

    One row may hold all of them; where a type has a length, rows that are missing are filled up to it.
    """
    values = max([rows * _length(kind), *(column.values for column in columns)])
    if values > rows and values * _VALUE_BYTES > MOST_LABEL_BYTES:
        raise LimitError(
            f"{name} has {values:,} values in a row group of {rows:,} rows", do="Write it in smaller row groups"
        )


def _length(kind: Any) -> int:
    """How many values a missing one of this arrow type takes: of lists, and bytes, of a fixed length."""
    from pyarrow import types

    kind = getattr(kind, "storage_type", kind)
    inner = [_length(kind.field(place).type) for place in range(kind.num_fields)]
    length: int = getattr(kind, "list_size", 1) * max(inner, default=1)
    return kind.byte_width if types.is_fixed_size_binary(kind) else length


def _require_fair(page: _Page, name: str) -> None:
    """Raise LimitError where a page unpacks to much more than it takes, or to what is not known from its head."""
    if page.encoding in _UNBOUNDED:
        raise LimitError(
            f"{name} has a page of the encoding {_UNBOUNDED[page.encoding]}, whose size unpacked no head tells",
            do="Write it with the encoding PLAIN, or with a dictionary",
        )
    if page.unpacked > _PAGE_BYTES + _TIMES * page.packed:
        raise LimitError(
            f"{name} has a page of {page.packed:,} bytes that unpacks to {page.unpacked >> 20:,} MiB",
            do="Write it again, in smaller pages or without compression",
        )
    require_room(page.unpacked, f"a page of {name}, unpacked,")


def _pages(stream: BinaryIO, column: Column) -> Iterator[_Page]:
    """The pages of a column of a row group, as far as pyarrow reads: up to its number of values. ValueError."""
    heads = CompactReader(stream, _MOST_VALUES)
    start, values = column.start, 0
    while values < column.values:
        stream.seek(start)
        page = _page(heads.struct())
        yield page
        start = stream.tell() + page.packed
        if page.kind != _DICTIONARY:
            values += page.values
    if values > column.values:
        raise ValueError("pages have more values than their column")


def _page(head: dict[int, Any]) -> _Page:
    kind = head.get(1)
    about = head.get(_ABOUT.get(kind, 0)) if isinstance(kind, int) else None
    if not isinstance(kind, int) or not isinstance(about, dict):
        raise ValueError("a page is of an unknown kind")
    numbers = [head.get(2), head.get(3), about.get(1), about.get(_ENCODING[kind])]
    page = _Page(kind, *(number if isinstance(number, int) else -1 for number in numbers))
    if not all(0 <= number < _INT for number in page[1:]):
        raise ValueError("the head of a page lacks a size, or has one that no page can have")
    if page.values < 1 if kind != _DICTIONARY else page.values > page.unpacked:
        raise ValueError(f"a page says that it has {page.values:,} values")
    return page
