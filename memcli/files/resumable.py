"""What all folders of resumable runs share: their JSON files, and two refusals. No torch."""

import json
from pathlib import Path
from typing import Any

from memcli.errors import ExistsError, UsageError
from memcli.files import atomic, headers
from memcli.text import printable


def refuse_existing(path: Path, why: str, *, resume: bool, force: bool) -> None:
    """Raise ExistsError, "PATH `why`", where neither `resume` nor `force` is set."""
    if not (resume or force):
        raise ExistsError(f"{printable(str(path))} {why}", do="Add `resume` to continue it, or `force` to start afresh")


def require_same(before: dict[str, Any], now: dict[str, Any], started: str) -> None:
    """Raise UsageError with the keys in which the settings `now` differ from those `before`; `started` names the run.

    `now` must be plain JSON, `before` was read from a file. Keys of nested settings are dotted.
    """
    stored = _flat(before)
    given = _flat(headers.parse_json(headers.canonical(now).encode(), "the settings"))
    differing = sorted(key for key in stored.keys() | given.keys() if stored.get(key, ...) != given.get(key, ...))
    if differing:
        raise UsageError(
            f"{started} was started with other settings: {printable(', '.join(differing))} differ",
            do="Give the same settings to `resume`, or start afresh with `force`",
        )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. MemoryFileError, naming the file, where it is damaged."""
    return headers.parse_json(path.read_bytes(), printable(str(path)))


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write `data` to `path`, whole or not at all, for people to read. UsageError where JSON cannot hold it."""
    plain = json.loads(headers.canonical(data))
    atomic.write_bytes(path, (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode(), force=True)


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as one of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return flat
