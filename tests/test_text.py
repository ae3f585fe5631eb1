"""Outside text is made harmless, and descriptions are parsed or refused."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcli.errors import UsageError
from memcli.text import parse_call, printable, whole_number


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Kläffer 犬 🐕", "Kläffer 犬 🐕"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\r\nb\tc\x00", "a\\r\\nb\\tc\\x00"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("\u2028", "\\u2028"),
        ("\x9b2J", "\\x9b2J"),
        ("\U000e0041", "\\U000e0041"),
        ("`force`.png", "\\x60force`.png"),
        ("Rock`n", "Rock`n"),
    ],
)
def test_unsafe_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_is_cut() -> None:
    assert printable("x" * 201) == "x" * 200 + "…"
    assert printable("x" * 200) == "x" * 200
    assert printable("abc", limit=2) == "ab…"


@given(st.text())
def test_what_is_printable_can_be_printed(text: str) -> None:
    shown = printable(text)
    assert shown.encode().decode() == shown
    assert not {unicodedata.category(character)[0] for character in shown} & {"C"}
    assert printable(shown, limit=10**6) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mlp", ("mlp", {})),
        ("convnet:width=128,depth=3", ("convnet", {"width": "128", "depth": "3"})),
        ("convnet: width = 128 ", ("convnet", {"width": "128"})),
        ("fake:shape=3x32x32,note=a=b:c", ("fake", {"shape": "3x32x32", "note": "a=b:c"})),
        ("mlp:", ("mlp", {})),
    ],
)
def test_descriptions(text: str, expected: tuple[str, dict[str, str]]) -> None:
    assert parse_call(text) == expected


@pytest.mark.parametrize("text", ["a:b", "a:b=", "a:=1", "a:b=1,", "a:,b=1", "a: = "])
def test_what_is_not_a_setting(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a setting\. Write NAME:key=value,key=value"):
        parse_call(text)


def test_a_setting_given_twice() -> None:
    with pytest.raises(UsageError, match=r"'b' is given twice in 'a:b=1,b=2'\. Give each setting once"):
        parse_call("a:b=1,b=2")


def test_whole_numbers() -> None:
    assert whole_number("7", "width") == 7
    assert whole_number("0", "seed", least=0) == 0
    assert whole_number("9", "depth", most=9) == 9


@pytest.mark.parametrize("text", ["", "x", "1.5", "0", "10", "-1", "9" * 5000])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(UsageError, match=r"depth is '.*'\. Give a whole number from 1 to 9"):
        whole_number(text, "depth", most=9)
