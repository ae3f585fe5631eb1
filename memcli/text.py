"""Text from outside: escaped before it is printed; and `name:key=value` descriptions, parsed."""

import re
import unicodedata
from typing import Any

from memcli.errors import UsageError

_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, bidi marks, surrogates, line separators
# Messages name settings in backquotes, and the command line shows these as flags.
_QUOTE_OF_SETTING = re.compile(r"`(?=[a-z][a-z0-9_]*`)")


def printable(text: str, limit: int = 200) -> str:
    """`text` with control, bidirectional and unassigned characters written as escapes, cut at `limit` characters.

    A word in backquotes loses the first one to an escape too: a file name is no setting.
    """
    shown = "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _UNSAFE_CATEGORIES
        else character
        for character in text[:limit]
    )
    shown = _QUOTE_OF_SETTING.sub(r"\\x60", shown)
    return shown + "…" if len(text) > limit else shown


def parse_call(text: str) -> tuple[str, dict[str, str]]:
    """Split `name:key=value,key=value` into its name and settings: `"mlp"` -> `("mlp", {})`.

    Raises UsageError where a setting is not of the form key=value, or is given twice.
    """
    name, _, rest = text.partition(":")
    settings: dict[str, str] = {}
    for part in rest.split(",") if rest else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise UsageError(
                f"{printable(part)!r} in {printable(text)!r} is not a setting", do="Write NAME:key=value,key=value"
            )
        if key in settings:
            raise UsageError(f"{printable(key)!r} is given twice in {printable(text)!r}", do="Give each setting once")
        settings[key] = value
    return name, settings


def whole_number(value: str, what: str, *, least: int = 1, most: int = 1_000_000) -> int:
    """`value` as an integer in [least, most], or UsageError naming `what`."""
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise UsageError(f"{what} is {printable(value)!r}", do=f"Give a whole number from {least} to {most}")
    return number


def nested_lines(name: str, values: dict[str, Any]) -> list[tuple[str, str]]:
    """Nested settings as one line each: `recipe.retrain.lr  0.02`; the items of a list of objects are numbered."""
    lines: list[tuple[str, str]] = []
    for key, value in values.items():
        full = f"{name}.{key}" if name else key
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            value = {str(number + 1): item for number, item in enumerate(value)}  # noqa: PLW2901
        lines += nested_lines(full, value) if isinstance(value, dict) and value else [(full, str(value))]
    return lines
