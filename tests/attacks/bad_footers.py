"""Parquet files written by hand whose footers say what no writer says, and those that have none."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_pages import BAD, BROTLI, BYTES, IMAGES, LARGE, NONE, ROWS, Wide, about_column, bomb, by_hand
from dataset_attacks import Attack, read, refused


def raw(content: bytes) -> Callable[[Path], str]:
    """A file of these bytes."""

    def write(folder: Path) -> str:
        (folder / "set.parquet").write_bytes(content)
        return f"parquet:{folder / 'set.parquet'}"

    return write


def long_footer(folder: Path) -> str:
    """A file that says that its last 65 MiB are its footer."""
    with (folder / "set.parquet").open("wb") as file:
        file.write(b"PAR1")
        file.truncate(1 << 27)
        file.seek(1 << 27)
        file.write(struct.pack("<I", 65 << 20) + b"PAR1")
    return f"parquet:{folder / 'set.parquet'}"


def nested(depth: int) -> dict[int, Any]:
    """A struct in a struct, so many times."""
    return {1: nested(depth - 1) if depth else 1}


_COLUMN = {2: Wide(4), 3: about_column([b"image"], BYTES, NONE, ROWS, 4, len(IMAGES))}
_HUGE = [{1: [_COLUMN] * 1000, 2: Wide(2000), 3: Wide(ROWS)}] * 101
_LACKS = "lacks its place, its size"

FOOTERS: dict[str, Attack] = {
    "fields in the footer that are passed over": read(
        by_hand(footer={30_000: b"text", 30_001: [[1.5], [True]], 30_002: {1: [b"text"] * 20}}), ("0", "1")
    ),
    "statistics of another size": refused(by_hand(about={16: {3: [Wide(0), Wide(ROWS)]}}), "histogram size mismatch"),
    "statistics of bytes for numbers": refused(by_hand(about_labels={16: {1: Wide(80)}}), BAD),
    "pages under the name of another column": refused(
        by_hand(bomb(1 << 28), packing=BROTLI, about={3: [b"label"]}, about_labels={3: [b"image"]}), LARGE
    ),
    "fewer columns than the schema": refused(by_hand(group={1: [_COLUMN]}), "1 columns, and the schema 2"),
    "more columns than the schema": refused(by_hand(group={1: [_COLUMN] * 3}), "3 columns, and the schema 2"),
    "a column without its pages": refused(by_hand(group={1: [{2: Wide(4)}] * 2}), _LACKS),
    "a column that is a number": refused(by_hand(group={1: [1, 2]}), f"{_LACKS}|{BAD}"),
    "a column of less than nothing": refused(by_hand(about={5: Wide(-1)}), _LACKS),
    "a row group of less than nothing": refused(by_hand(group={3: Wide(-1)}), "lacks its number of rows"),
    "row groups that are a text": refused(by_hand(footer={4: b"text"}), "lacks its row groups"),
    "structs in structs in a footer": refused(by_hand(footer={40: nested(100)}), "of an unknown type"),
    "a footer of millions of values": refused(by_hand(footer={40: [[True] * 1000] * 2001}), "2,000,000 values"),
    "a hundred thousand columns": refused(by_hand(footer={4: _HUGE}), "101 row groups, with more than 100,000 columns"),
    "a footer of 65 MiB": refused(long_footer, "footer of set.parquet takes 65 MiB"),
    "a footer beyond the start": refused(raw(b"PAR1" + struct.pack("<I", 5) + b"PAR1"), "ends in no footer"),
    "a footer that is encrypted": refused(raw(b"PARE" + bytes(40) + struct.pack("<I", 4) + b"PARE"), "no footer"),
}
