"""Sizes and times as people type them."""

import re

from memcli.errors import UsageError
from memcli.text import printable

_BYTES = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1024, "MIB": 1024**2, "GIB": 1024**3}
_SECONDS = {"": 1, "S": 1, "M": 60, "MIN": 60, "H": 3600}


def size_in_bytes(text: str, *, ipc: int) -> int:
    """`30KB`, `1.5MiB`, a plain number of bytes, or `2ipc`: the bytes of 2 images per class, where one costs `ipc`."""
    return int(_quantity(text, {**_BYTES, "IPC": ipc}, "size", "30KB, 2MiB or 1ipc"))


def plain_bytes(text: str) -> int:
    """`30KB`, `8GiB`, or a plain number of bytes."""
    return int(_quantity(text, _BYTES, "size", "500MB or 8GiB"))


def seconds(text: str) -> float:
    """`90`, `90s`, `5m` or `1.5h`."""
    return _quantity(text, _SECONDS, "time", "90s, 5m or 1.5h")


def _quantity(text: str, units: dict[str, int], what: str, examples: str) -> float:
    match = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)\s*", text)
    unit = units.get(match[2].upper()) if match else None
    if match is None or unit is None or float(match[1]) == 0:
        raise UsageError(f"{printable(text)!r} is no {what}", do=f"Write it as {examples}")
    return float(match[1]) * unit
