"""Checks of the numbers in settings: each raises UsageError, naming the setting and what it may be."""

import math
from typing import Any

from memcli.errors import UsageError
from memcli.text import printable


def at_least_one(part: Any, *names: str) -> None:
    for name in names:
        if getattr(part, name) < 1:
            raise UsageError(f"recipe: {name} is {getattr(part, name)}", do="Give 1 or more")


def not_negative(part: Any, *names: str) -> None:
    for name in names:
        if getattr(part, name) < 0:
            raise UsageError(f"recipe: {name} is {getattr(part, name)}", do="Give 0 or more")


def positive(part: Any, *names: str) -> None:
    for name in names:
        value = getattr(part, name)
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"recipe: {name} is {value}", do="Give a positive number")


def below_one(part: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(part, name) < 1:
            raise UsageError(f"recipe: {name} is {getattr(part, name)}", do="Give a number in [0, 1)")


def one_of(part: Any, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(part, name)
    if value not in choices:
        raise UsageError(f"recipe: {name} is {printable(value)!r}", do=f"Choose from {', '.join(choices)}")
