"""What all folders of resumable runs share: their JSON files, and the refusal of other settings. No torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memcli.errors import ExistsError, UsageError
from memcli.files import atomic, headers, regular
from memcli.text import printable

ASKED = "asked"  # the key in settings of what was asked for, which need not decide what is made


def differences(before: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The dotted keys in which the settings `now` differ from those `before`, with both values; `...` is none.

    `now` must be plain JSON, `before` was read from a file. Settings that differ only in what was asked for (ASKED),
    and not in what came of it, do not differ.
    """
    stored = _flat(before)
    given = _flat(headers.parse_json(headers.canonical(now).encode(), "the settings"))
    both = {key: (stored.get(key, ...), given.get(key, ...)) for key in sorted(stored.keys() | given.keys())}
    differing = {key: values for key, values in both.items() if values[0] != values[1]}
    return differing if any(not key.startswith(f"{ASKED}.") for key in differing) else {}


def told(differing: dict[str, tuple[Any, Any]], flags: Mapping[str, str]) -> str:
    """What differs, as the settings that a user gives: "`seed` 0, not 1".

    `flags`: the setting by the start of the dotted key, where it has one. What was asked for is told alone where that
    explains the difference.
    """
    starts = {key: _start(key, flags) for key in differing}
    asked = [key for key, start in starts.items() if start is not None and start.startswith(f"{ASKED}.")]
    shown: dict[str, str] = {}
    for key in asked or (key for key in differing if not key.startswith(f"{ASKED}.")):
        start = starts[key]
        name = printable(key) if start is None else f"`{flags[start]}`"
        values = [printable(str(value)) for value in differing[key] if isinstance(value, str | int | float)]
        exact = start in (None, key) and len(values) == 2
        shown.setdefault(name, f"{name} {values[0]}, not {values[1]}" if exact else name)
    return "; ".join(shown.values())


def require_same(
    before: dict[str, Any], now: dict[str, Any], started: str, flags: Mapping[str, str] | None = None
) -> None:
    """Raise UsageError with the settings `now` that differ from those `before`; `started` names the run."""
    if differing := differences(before, now):
        raise UsageError(
            f"{started} was started with other settings: {told(differing, flags or {})}",
            do="Give the same settings to `resume`, or start afresh with `force`",
        )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. MemoryFileError, naming the file, where it is damaged, OSError where it is no file."""
    return headers.parse_json(regular.read_bytes(path), printable(str(path)))


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write `data` to `path`, whole or not at all, for people to read. UsageError where JSON cannot hold it."""
    plain = json.loads(headers.canonical(data))
    atomic.write_bytes(path, (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode(), force=True)


def _start(key: str, flags: Mapping[str, str]) -> str | None:
    """The longest of `flags` that the dotted `key` is or begins with."""
    return max((start for start in flags if f"{key}.".startswith(f"{start}.")), key=len, default=None)


def require_continuable(
    before: dict[str, Any],
    now: dict[str, Any],
    path: Path,
    started: str,
    *,
    resume: bool,
    flags: Mapping[str, str],
) -> None:
    """Raise where the run in `path`, by the settings `before`, cannot go on with those that are given now.

    As `require_same` does where `resume` asks for that; ExistsError where it does not.
    """
    if resume:
        require_same(before, now, started, flags)
    elif differing := differences(before, now):
        raise ExistsError(
            f"{printable(str(path))} exists from an earlier run with other settings: {told(differing, flags)}",
            do="Give the same settings to continue it, or add `force` to start afresh",
        )


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects as one of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {prefix + key: value}
    return flat
