"""What all folders that can be resumed refuse, and the JSON in them."""

from pathlib import Path
from typing import Any

import pytest

from memcli.errors import MemoryFileError, UsageError
from memcli.files.resumable import read_json, require_same, write_json


@pytest.mark.parametrize(
    ("before", "now", "named"),
    [
        ({"a": 1}, {"a": 2}, "a 1, not 2"),
        ({"a": 1}, {}, "a"),
        ({}, {"a": None}, "a"),
        ({"b": {"c": 1, "d": 2}, "a": 1}, {"b": {"c": 2, "d": 2}, "a": 2}, "a 1, not 2; b.c 1, not 2"),
        ({"b": {}}, {"b": {"c": 1}}, "b; b.c"),
        ({"a\x1b": 1}, {}, r"a\x1b"),
        ({"e": {"f": 1, "g": 2}}, {"e": {"f": 2, "g": 3}}, "`eff` 1, not 2; `e`"),
        ({"asked": {"h": "x"}, "a": 1}, {"asked": {"h": "y\x1b"}, "a": 2}, r"`h` x, not y\x1b"),
        ({"asked": {"other": 1}, "a": 1}, {"asked": {"other": 2}, "a": 2}, "a 1, not 2"),
    ],
)
def test_settings_that_differ_are_named(before: dict[str, Any], now: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as raised:
        require_same(before, now, "the run", {"e": "e", "e.f": "eff", "asked.h": "h"})
    assert str(raised.value) == (
        f"the run was started with other settings: {named}. "
        "Give the same settings to `resume`, or start afresh with `force`."
    )


def test_what_was_asked_alone_makes_no_difference() -> None:
    require_same({"asked": {"h": 1}, "a": 1}, {"asked": {"h": 2}, "a": 1}, "the run")


def test_what_json_cannot_tell_apart_is_the_same() -> None:
    require_same({"a": [1, 2], "b": {"c": 1.0}}, {"b": {"c": 1}, "a": (1, 2)}, "the run")


def test_json_comes_back(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"ß": [1, 0.5], "a": {}})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "a": {},\n  "ß": [\n    1,\n    0.5\n  ]\n}\n'
    assert read_json(tmp_path / "x.json") == {"a": {}, "ß": [1, 0.5]}


def test_damaged_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(MemoryFileError, match=r"x\.json is not valid JSON"):
        read_json(tmp_path / "x.json")
