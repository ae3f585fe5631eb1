"""Reads small TOML files of settings, whoever wrote them. No torch."""

import tomllib
from pathlib import Path
from typing import Any

from memcli.errors import DataError
from memcli.files import regular
from memcli.text import printable

_MOST_BYTES = 1 << 16  # the parser takes time that is quadratic in the depth of a key


def read(path: str | Path, what: str) -> dict[str, Any]:
    """The content of a file, which `what` names. DataError where it cannot be read, or is no TOML."""
    shown = printable(str(path))
    try:
        return tomllib.loads(regular.read_bytes(path, _MOST_BYTES).decode())
    except RecursionError as error:
        raise DataError(f"{what} {shown!r} is nested too deeply", do="Correct it") from error
    except (OSError, ValueError) as error:  # of the second kind are all that the parser and the decoder raise
        raise DataError(f"cannot read {what} {shown!r}: {printable(str(error))}", do="Correct it") from error
