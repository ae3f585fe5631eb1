"""Warnings of memcli's own: a line each on stderr, once, and the key `warnings` of what `--json` prints."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import typer

from memcli.cli._flags import with_flags
from memcli.cli._ranks import is_first
from memcli.errors import MemcliWarning
from memcli.text import printable

_told: ContextVar[list[str]] = ContextVar("warnings of the command that runs")


@contextmanager
def telling() -> Iterator[None]:
    """While the block runs, memcli's warnings are told as messages are; others as they were."""
    already: list[str] = []
    _told.set(already)
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            text = printable(with_flags(str(message)), 2000)
            if not issubclass(category, MemcliWarning):
                usual(message, category, *where, **more)
            elif text not in already and is_first():
                already.append(text)
                typer.echo(f"memcli: warning: {text}", err=True)

        warnings.simplefilter("always", MemcliWarning)
        warnings.showwarning = show
        yield


def told() -> list[str]:
    """What was told since the command began."""
    return _told.get([])
