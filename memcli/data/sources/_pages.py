"""What the pages of a Parquet file unpack to, told by the head of each page before any of them is unpacked.

pyarrow does not tell it, and unpacks what the heads say; the sums in a file's footer may be anything. A column of a row
group is a series of pages: a head, a struct in Thrift's compact protocol (PageHeader in parquet.thrift of
apache/parquet-format), then so many packed bytes as it says.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from memcli.data.sources._limits import MAX_BYTES, MOST_ENCODED, MOST_LABEL_BYTES, require_room
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

_STOP, _TRUE, _FALSE, _BYTE, _SHORT, _LONG, _DOUBLE, _TEXT, _STRUCT = 0, 1, 2, 3, 4, 6, 7, 8, 12  # types in Thrift
_FIELDS, _DEEPEST, _INT = 64, 3, 1 << 31  # more fields, and structs in structs, than a head has; beyond 32 bits


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


def rows_at_a_time(file: Any, column: str, path: Path) -> int:
    """So many rows of `column` that they take little memory. LimitError where pages, a row group or all are too large.

    `file`: pyarrow's, of `path`. A value that a file holds once, in a dictionary, may be that of every row. ValueError
    where the head of a page is damaged.
    """
    name, groups = printable(path.name), range(file.metadata.num_row_groups)
    largest = shared = unpacked = 0
    with path.open("rb") as stream:
        for group in map(file.metadata.row_group, groups):
            every = [group.column(place) for place in range(group.num_columns)]
            chunks = [chunk for chunk in every if f"{chunk.path_in_schema}.".startswith(f"{column}.")]
            _require_short_lists(chunks, group.num_rows, file.schema_arrow.field(column).type, name)
            size = row = 0
            for chunk in chunks:
                pages = [0]  # bytes a value
                for page in _pages(stream, chunk):
                    _require_fair(page, name)
                    size += page.unpacked
                    if page.kind == _DICTIONARY:
                        shared = max(shared, page.unpacked)
                    else:
                        pages.append(page.unpacked // page.values)
                row += max(pages)
            if max(size, sum(chunk.total_compressed_size for chunk in chunks)) > MAX_BYTES:
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


def _require_short_lists(chunks: list[Any], rows: int, kind: Any, name: str) -> None:
    """Raise LimitError where the lists of a row group, of type `kind`, hold more values than labels may.

    One row may hold all of them; where a type has a length, rows that are missing are filled up to it.
    """
    values = max([rows * _length(kind), *(chunk.num_values for chunk in chunks)])
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


def _pages(stream: BinaryIO, chunk: Any) -> Iterator[_Page]:
    """The pages of a column of a row group, as far as pyarrow reads: up to its number of values. ValueError."""
    start, values = chunk.data_page_offset, 0
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
        start = chunk.dictionary_page_offset
    while values < chunk.num_values:
        if start < 0:
            raise ValueError("a page lies before the file")
        stream.seek(start)
        page = _page(_struct(stream))
        yield page
        start = stream.tell() + page.packed
        if page.kind != _DICTIONARY:
            values += page.values
    if values > chunk.num_values:
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


def _struct(stream: BinaryIO, depth: int = 0) -> dict[int, Any]:
    """The fields of a struct, by their numbers: whole numbers and structs; of others only that they are there."""
    fields: dict[int, Any] = {}
    number = 0
    while (kind := (first := _byte(stream)) & 0xF) != _STOP:
        number = number + (first >> 4) if first >> 4 else _number(stream)
        if number in fields or not 0 < number < _FIELDS:
            raise ValueError("the head of a page has a field that it cannot have")
        fields[number] = None
        if _SHORT <= kind <= _LONG:
            fields[number] = _number(stream)
        elif kind == _STRUCT and depth < _DEEPEST:
            fields[number] = _struct(stream, depth + 1)
        elif kind == _TEXT:
            stream.seek(_unsigned(stream), 1)
        elif kind in (_BYTE, _DOUBLE):
            stream.seek(1 if kind == _BYTE else 8, 1)
        elif kind not in (_TRUE, _FALSE):
            raise ValueError("the head of a page has a field of an unknown type")
    return fields


def _number(stream: BinaryIO) -> int:
    """A number whose last bit is its sign."""
    number = _unsigned(stream)
    return number >> 1 ^ -(number & 1)


def _unsigned(stream: BinaryIO) -> int:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    number = 0
    for place in range(0, 70, 7):
        byte = _byte(stream)
        number |= (byte & 0x7F) << place
        if byte < 0x80:
            return number
    raise ValueError("a number in the head of a page is too long")


def _byte(stream: BinaryIO) -> int:
    byte = stream.read(1)
    if not byte:
        raise ValueError("a page is cut off")
    return byte[0]
