"""Parquet files written by hand, byte for byte, whose pages say of themselves what no writer says."""

import base64
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
from dataset_attacks import Attack, picture, read, refused
from pyarrow import parquet

_PLAIN, _RLE, _DELTA_LENGTH, _DELTA, _INDEXED = 0, 3, 6, 7, 8  # encodings
NONE, BROTLI = 0, 4  # compressions
_DATA, _INDEX, _DICTIONARY, _DATA_2 = 0, 1, 2, 3  # kinds of pages
_LONG, BYTES, _REQUIRED, _REPEATED = 2, 6, 0, 2  # types of columns, and how often they are in a row
ROWS, _MOST = 10, (1 << 31) - 1


class Wide(int):
    """A number that is written in 64 bits."""


def number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*parts, value))


def signed(value: int) -> bytes:
    return number(value << 1 if value >= 0 else (-value << 1) - 1)


def value_of(value: Any) -> tuple[int, bytes]:
    """The type, and the bytes, of a value in Thrift's compact protocol."""
    if isinstance(value, dict):
        return 12, fields(value)
    if isinstance(value, bool):
        return 1, b"\1"
    if isinstance(value, float):
        return 7, struct.pack("<d", value)
    if isinstance(value, bytes):
        return 8, number(len(value)) + value
    if isinstance(value, list):
        kinds = [value_of(item) for item in value]
        length = bytes((len(value) << 4 | kinds[0][0],)) if len(value) < 15 else bytes((0xF0 | kinds[0][0],))
        more = number(len(value)) if len(value) >= 15 else b""
        return 9, length + more + b"".join(content for _, content in kinds)
    return (6 if isinstance(value, Wide) else 5), signed(value)


def fields(values: dict[int, Any]) -> bytes:
    """A struct of these fields, by their numbers, which may go down too."""
    written, before = b"", 0
    for place, value in values.items():
        kind, content = value_of(value)
        step = place - before
        head = bytes(((step << 4) | kind,)) if 0 < step < 16 else bytes((kind,)) + signed(place)
        written, before = written + head + content, place
    return written + b"\0"


def page(kind: int, content: bytes, values: int, encoding: int = _PLAIN, **lies: Any) -> bytes:
    """A page; `lies`: the bytes that it says it unpacks to, `head` in place of its head, fields that follow it."""
    about = {
        _DATA: {5: {1: values, 2: encoding, 3: _RLE, 4: _RLE}},
        _INDEX: {6: {}},
        _DICTIONARY: {7: {1: values, 2: encoding}},
        _DATA_2: {8: {1: values, 2: 0, 3: values, 4: encoding, 5: 0, 6: 0}},
    }[kind]
    head = {1: kind, 2: lies.get("unpacked", len(content)), 3: len(content), **about, **lies.get("more", {})}
    return lies.get("head", fields(head)) + content


def cells(*contents: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(content)) + content for content in contents)


_CELLS = cells(*(picture(seed) for seed in range(ROWS)))
IMAGES = page(_DATA, _CELLS, ROWS)
LABELS = page(_DATA, struct.pack(f"<{ROWS}q", *(0, 1) * (ROWS // 2)), ROWS)
_FLAT = [{1: _LONG, 3: _REQUIRED, 4: b"label"}]
_LISTS = [
    {3: _REQUIRED, 4: b"label", 5: 1, 6: 3},
    {3: _REPEATED, 4: b"list", 5: 1},
    {1: _LONG, 3: _REQUIRED, 4: b"element"},
]


def by_hand(
    images: bytes = IMAGES,
    labels: bytes = LABELS,
    packing: int = NONE,
    start: int = 4,
    kinds: list[dict[int, Any]] = _FLAT,
    values: int = ROWS,
    **lies: dict[int, Any],
) -> Callable[[Path], str]:
    """A Parquet file of ten rows with these pages, whose footer has sizes that could be right.

    `packing`, and where the pages `start`: of the images. `kinds` and number of `values`: of the labels. `lies`: other
    fields of the `footer`, of its row `group`, and of what it says `about` the images and the `labels`.
    """

    def write(folder: Path) -> str:
        about_images = about_column([b"image"], BYTES, packing, ROWS, start, len(images)) | lies.get("about", {})
        about_labels = about_column([kind[4] for kind in kinds], _LONG, NONE, values, 4 + len(images), len(labels))
        about_labels |= lies.get("about_labels", {})
        columns = [{2: about[9], 3: about} for about in (about_images, about_labels)]
        schema: list[dict[int, Any]] = [{4: b"schema", 5: 2}, {1: BYTES, 3: _REQUIRED, 4: b"image"}, *kinds]
        group = {1: columns, 2: Wide(2000), 3: Wide(ROWS)} | lies.get("group", {})
        footer = fields({1: 1, 2: schema, 3: Wide(ROWS), 4: [group]} | lies.get("footer", {}))
        content = b"PAR1" + images + labels + footer + struct.pack("<I", len(footer)) + b"PAR1"
        (folder / "set.parquet").write_bytes(content)
        return f"parquet:{folder / 'set.parquet'}"

    return write


def about_column(path: list[bytes], kind: int, packing: int, values: int, start: int, size: int) -> dict[int, Any]:
    """What the footer says of a column: that it takes `size` bytes, packed and unpacked."""
    return {1: kind, 2: [_PLAIN], 3: path, 4: packing, 5: Wide(values), 6: Wide(size), 7: Wide(size), 9: Wide(start)}


def missing(kind: Callable[[int], pyarrow.DataType]) -> Callable[[Path], str]:
    """Ten labels that are missing, of a type with a length: 3 where it is written, then in its place a great one."""

    def write(folder: Path) -> str:
        file = folder / "set.parquet"
        columns = {"image": [picture(seed) for seed in range(ROWS)], "label": pyarrow.nulls(ROWS, kind(3))}
        parquet.write_table(pyarrow.table(columns), file)
        written, told = (
            base64.b64encode(pyarrow.schema([("image", pyarrow.binary()), ("label", kind(length))]).serialize())
            for length in (3, _MOST)
        )
        content = file.read_bytes()
        assert written in content
        file.write_bytes(content.replace(written, told))
        return f"parquet:{file}"

    return write


def wide(folder: Path) -> str:
    """Images beside which lie bytes of a fixed length, seven million of them, all missing."""
    encoded = pyarrow.array([picture(seed) for seed in range(ROWS)])
    images = pyarrow.StructArray.from_arrays(
        [encoded, pyarrow.nulls(ROWS, pyarrow.binary(7_000_000))], ["bytes", "more"]
    )
    parquet.write_table(pyarrow.table({"image": images, "label": [0, 1] * (ROWS // 2)}), folder / "set.parquet")
    return f"parquet:{folder / 'set.parquet'}"


def brotli(content: bytes) -> bytes:
    return bytes(pyarrow.compress(content, codec="brotli", asbytes=True))


def bomb(size: int, kind: int = _DATA) -> bytes:
    """A page of some hundred bytes, which unpacks to `size` zeros, and says so."""
    return page(kind, brotli(bytes(size)), ROWS, unpacked=size)


def indexed(dictionary: bytes) -> bytes:
    """A dictionary, and rows which are all its first value."""
    return dictionary + page(_DATA, b"\1" + number(ROWS << 1) + b"\0", ROWS, _INDEXED)


def lengths(count: int) -> bytes:
    """As many lengths, all zero, in delta's packing: a few bytes for however many."""
    return number(1 << 30) + number(1) + number(count) + signed(0) + signed(0) + b"\0"


LARGE, BAD = "a page of .* bytes that unpacks to", "cannot be read"
_HEAD = {1: _DATA, 2: 100, 3: 100, 5: {1: ROWS, 2: _PLAIN, 3: _RLE, 4: _RLE}}


def headed(**changes: Any) -> Callable[[Path], str]:
    """A file whose page of images has these fields in place of those of its number, such as f2=-1."""
    changed = _HEAD | {int(name[1:]): value for name, value in changes.items()}
    return by_hand(page(_DATA, bytes(100), ROWS, head=fields(changed)))


PAGES: dict[str, Attack] = {
    "by hand, and honest": read(by_hand(), ("0", "1")),
    "of the second kind": read(by_hand(page(_DATA_2, _CELLS, ROWS)), ("0", "1")),
    "fields that are passed over": read(
        by_hand(page(_DATA, _CELLS, ROWS, more={9: b"text", 40: Wide(1), 41: {1: b"", 2: 3}, 42: [1] * 20})),
        ("0", "1"),
    ),
    "fields the other way round": read(
        by_hand(
            page(_DATA, _CELLS, ROWS, head=fields(dict(reversed(_HEAD.items())) | {2: len(_CELLS), 3: len(_CELLS)}))
        ),
        ("0", "1"),
    ),
    "a page of a gigabyte": refused(by_hand(bomb(1 << 30), packing=BROTLI), LARGE, slow=True),
    "a page that says 2 GiB": refused(by_hand(page(_DATA, brotli(b""), ROWS, unpacked=_MOST), packing=BROTLI), LARGE),
    "labels that say 2 GiB": refused(by_hand(labels=page(_DATA, b"", ROWS, unpacked=_MOST)), LARGE),
    "a dictionary that the footer does not tell of": refused(
        by_hand(indexed(page(_DICTIONARY, brotli(b""), 1, unpacked=_MOST)), packing=BROTLI), LARGE
    ),
    "a large page after a small one": refused(
        by_hand(page(_DATA, cells(b"") * 5, 5) + page(_DATA, b"", 5, unpacked=_MOST)), LARGE
    ),
    "pages of 60 MiB in number": refused(
        by_hand(labels=page(_DATA, b"", 1, unpacked=60 << 20) * 20, kinds=_LISTS, values=20), "unpacks to 1 GiB, more"
    ),
    "more values in a page than in its column": refused(
        by_hand(labels=page(_DATA, b"", 1 << 30), kinds=_LISTS), "more values than their column"
    ),
    "more than it says": refused(by_hand(page(_DATA, brotli(bytes(1 << 22)), ROWS, unpacked=9), packing=BROTLI), BAD),
    "less than it says": refused(by_hand(page(_DATA, brotli(b""), ROWS, unpacked=1 << 20), packing=BROTLI), BAD),
    "lengths in number": refused(by_hand(page(_DATA, lengths(_MOST), ROWS, _DELTA_LENGTH)), "DELTA_LENGTH_BYTE_ARRAY"),
    "prefixes in number": refused(by_hand(page(_DATA, lengths(_MOST), ROWS, _DELTA)), "encoding DELTA_BYTE_ARRAY"),
    "a page of no values": refused(by_hand(page(_DATA, b"", 0) + IMAGES), "says that it has 0 values"),
    "a dictionary of too many values": refused(
        by_hand(indexed(page(_DICTIONARY, cells(b"one"), 1 << 30))), "says that it has 1,073,741,824 values"
    ),
    "a cell of 300 MB": refused(
        by_hand(indexed(page(_DICTIONARY, bytes(3 << 20), 1, unpacked=300 << 20))), "300 MiB in one value, and images"
    ),
    "two dictionaries": refused(by_hand(2 * page(_DICTIONARY, cells(b"one"), 1) + IMAGES), BAD),
    "a kind that is not known": refused(by_hand(page(_INDEX, b"", 0) + IMAGES), "an unknown kind"),
    "no description": refused(headed(f5=b""), "an unknown kind"),
    "a size below zero": refused(headed(f2=-1), "lacks a size"),
    "a packed size below zero": refused(headed(f3=-(1 << 31)), "lacks a size"),
    "a size beyond 32 bits": refused(headed(f2=Wide((1 << 32) + 100)), "lacks a size"),
    "a text for a size": refused(headed(f2=b"100"), "lacks a size"),
    "values beyond 32 bits": refused(headed(f5={1: (1 << 32) + ROWS, 2: 0}), "lacks a size"),
    "no encoding": refused(headed(f5={1: ROWS}), "lacks a size"),
    "a list of many values": refused(headed(f9=[1] * 2000), "more than 1,000 values"),
    "structs in structs": refused(by_hand(page(_DATA, b"", ROWS, head=b"\x1c" * 10_000)), "of an unknown type"),
    "a field beyond all": refused(headed(f40000=1), "cannot have"),
    "a field twice": refused(by_hand(page(_DATA, b"", ROWS, head=fields(_HEAD)[:-1] + b"\x05\4\4\0")), "cannot have"),
    "a number without end": refused(by_hand(page(_DATA, b"", ROWS, head=b"\x15" + b"\xff" * 1000)), "too long"),
    "a text without end": refused(by_hand(page(_DATA, b"", ROWS, head=b"\x18" + number(1 << 62))), "cut off|cannot be"),
    "a page beyond the end": refused(by_hand(start=1 << 40), BAD),
    "a page before the start": refused(by_hand(start=-5), BAD),
    "a list of all values": refused(by_hand(kinds=_LISTS, values=1 << 30), "1,073,741,824 values in a row group"),
    "missing lists of a fixed length": refused(
        missing(partial(pyarrow.list_, pyarrow.int8())), "values in a row group"
    ),
    "missing lists in lists": refused(
        missing(lambda length: pyarrow.list_(pyarrow.list_(pyarrow.int8(), length), 2)), "values in a row group"
    ),
    "missing bytes of a fixed length": refused(wide, "70,000,000 values in a row group of 10 rows"),
}
