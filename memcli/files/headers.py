"""The header of a .safetensors file and its JSON, parsed more strictly than the safetensors library does. No torch."""

import json
import math
from dataclasses import dataclass
from typing import Any

from memcli.errors import MemoryFileError, UsageError
from memcli.memory.storage import BYTES
from memcli.text import printable

KEY = "memcli"
MAX_RANK, MAX_DIMENSION, MAX_DEPTH = 8, 2**31 - 1, 32


@dataclass(frozen=True)
class Entry:
    """One tensor, as the header describes it: its bytes are payload[begin:end]."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """A checked header: its tensors cover the payload exactly, without holes or overlaps."""

    tensors: dict[str, Entry]
    manifest: dict[str, Any]
    text: str  # the manifest as it stands in the file
    header_bytes: int
    file_bytes: int


def damaged(what: str) -> MemoryFileError:
    """The error of a file that cannot be trusted."""
    return MemoryFileError(what, do="Get the file again from where it came, or make it anew")


def canonical(data: dict[str, Any]) -> str:
    """`data` as canonical JSON: sorted keys, no white space, no NaN. UsageError where JSON cannot hold it."""
    try:
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()  # a lone surrogate, as of a file name that is not UTF-8, cannot be stored
    except (TypeError, ValueError) as error:
        raise UsageError(f"a manifest cannot be stored as JSON ({printable(str(error))})", do="Correct it") from error
    return text


def parse_json(raw: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `raw`, refused (MemoryFileError) where two parsers could read it differently.

    That is: duplicate keys, NaN, numbers beyond float64, lone surrogates; and nesting deeper than MAX_DEPTH.
    """
    try:
        data = json.loads(raw.decode(), object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
        deep = _depth(data) > MAX_DEPTH
        json.dumps(data, ensure_ascii=False).encode()
    except RecursionError:
        deep = True
    except ValueError as error:  # from the three hooks, bytes that are not UTF-8, integers of 5000 digits
        raise damaged(f"{what} is not valid JSON: {printable(str(error))}") from None
    if deep:
        raise damaged(f"{what} is nested too deeply")
    if not isinstance(data, dict):
        raise damaged(f"{what} is not a JSON object")
    return data


def checked_header(raw: bytes, file_bytes: int) -> Header:
    entries = parse_json(raw, "the header")
    metadata = entries.pop("__metadata__", None)
    if not isinstance(metadata, dict) or set(metadata) != {KEY} or not isinstance(metadata[KEY], str):
        raise damaged(f"memcli did not write it: its metadata is not one text under the key {KEY!r}")
    manifest = parse_json(metadata[KEY].encode(), "the manifest")
    tensors = {name: _entry(name, entry) for name, entry in entries.items()}
    at = 0
    for name, entry in sorted(tensors.items(), key=lambda item: item[1].begin):
        if entry.begin != at:
            raise damaged(f"a hole or an overlap before tensor {printable(name)!r}")
        at = entry.end
    if at != file_bytes - 8 - len(raw):
        raise damaged(f"its tensors need {at} bytes, and {file_bytes - 8 - len(raw)} follow the header")
    return Header(tensors, manifest, metadata[KEY], len(raw), file_bytes)


def _entry(name: str, data: Any) -> Entry:
    shown = f"tensor {printable(name)!r}"
    if not isinstance(data, dict) or set(data) != {"dtype", "shape", "data_offsets"}:
        raise damaged(f"{shown} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = data["dtype"], data["shape"], data["data_offsets"]
    if not (isinstance(dtype, str) and _whole(shape) and _whole(offsets) and len(offsets) == 2):
        raise damaged(f"{shown} has a malformed dtype, shape or data_offsets")
    if dtype not in BYTES:
        raise damaged(f"{shown} is of dtype {printable(dtype)!r}, not of {', '.join(BYTES)}")
    if len(shape) > MAX_RANK:
        raise damaged(f"{shown} has {len(shape)} dimensions: at most {MAX_RANK} are allowed")
    if not all(1 <= side <= MAX_DIMENSION for side in shape):
        raise damaged(f"{shown} has a dimension of zero or beyond {MAX_DIMENSION}")
    if offsets[1] - offsets[0] != math.prod(shape) * BYTES[dtype]:
        raise damaged(f"the data_offsets of {shown} do not agree with its dtype and shape")
    return Entry(dtype, tuple(shape), *offsets)


def _whole(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int for value in values)  # a bool is not a number here


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a key appears twice")
    return data


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)
