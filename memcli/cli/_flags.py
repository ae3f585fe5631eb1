"""How help shows flags, and how a setting that a library's message names becomes the flag of the command that runs.

The library names a setting as Python does, in backquotes: `force`. Only the command line knows that it is --force.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from typer.core import TyperCommand

_flags: ContextVar[Mapping[str, str]] = ContextVar("flags of the command that runs")
_SETTING = re.compile(r"`([a-z][a-z0-9_]*)`")


class BareFlags:
    """Mixed into a Typer command: its help shows a flag without a type, which Typer 0.26 calls <bool>."""

    def get_params(self, ctx: Any) -> Any:
        params = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class Command(BareFlags, TyperCommand):
    """One command of memcli."""


def flags_of(command: Any) -> dict[str, str]:
    """The flag of every option of a Typer command, by the option's name in Python and by the flag's own words."""
    flags: dict[str, str] = {}
    for option in command.params:
        if option.param_type_name == "option":
            longest = [max(names, key=len) for names in (option.opts, option.secondary_opts) if names]
            flags |= {flag.lstrip("-").replace("-", "_"): flag for flag in longest}
            flags[option.name] = longest[0]
    return flags


def now_runs(command: Any) -> None:
    """From here on messages name the flags of `command`; of none, where it is None."""
    _flags.set({} if command is None else flags_of(command))


def has_flag(setting: str) -> bool:
    """Whether the command that runs has an option for `setting`."""
    return setting in _flags.get({})


def with_flags(text: str) -> str:
    """`text` with every setting in backquotes as the flag of the command that runs, or bare where it has none."""
    return _SETTING.sub(lambda found: _flags.get({}).get(found[1], found[1]), text)
