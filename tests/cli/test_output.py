"""What goes to stdout."""

import io
import json
import math
import sys

import pytest

from memcli.cli._output import emit, mean_percent, percent, size_lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"a": "größe\x1b", "b": 0.5}, [], as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert out.isascii()
    assert json.loads(out) == {"a": "größe\x1b", "b": 0.5}


def test_json_never_holds_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        emit({"a": math.nan}, [], as_json=True)


def test_lines_are_aligned_and_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    emit({}, [("a", "1"), ("long", "[red]\x1b")], as_json=False)
    assert capsys.readouterr().out == "a     1\nlong  [red]\\x1b\n"


def test_a_terminal_gets_long_values_below_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "50")
    emit({}, [("name", "word " * 12), ("a", "[red]\x1b"), ("b", "")], as_json=False)
    assert terminal.getvalue().splitlines() == [
        "name  " + "word " * 8 + "word",
        "      word word word",
        "a     [red]\\x1b",
        "b     ",
    ]


def test_figures() -> None:
    size = {"floats": 30688, "bytes": 122752, "bits_per_class": 98201.6, "recalled_per_class": 115, "ipc": 0.99896}
    assert dict(size_lines(size)) == {
        "size": "122,752 bytes, 30,688 floats, 98,202 bits per class",
        "recalls": "115 images per class, from the floats of 0.999 images per class",
    }
    assert percent(0.12345) == "12.35 %"


def test_one_figure_has_no_deviation() -> None:
    assert mean_percent({"mean": 0.91364, "std": 0.0074, "n": 3}) == "91.36 ± 0.74 % (n = 3)"
    assert mean_percent({"mean": 0.91364, "std": 0.0, "n": 1}) == "91.36 % (n = 1)"
