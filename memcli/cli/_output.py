"""What a command prints on stdout: one JSON object, or the same figures as lines for people."""

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from memcli.cli._warnings import told
from memcli.text import printable

if TYPE_CHECKING:
    from memcli.memory.spec import MemorySpec

LABELS_TOLD = {"fixed": "of the classes", "class": "learned, one for each class", "row": "learned, one for each image"}
_GAP = "  "
_LEAST_WIDTH = 40  # columns that values get even on a very narrow terminal


def emit(result: dict[str, Any], lines: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    """Print `result`, and what was warned of, as one JSON object, or else `lines` of (name, value), aligned.

    On a terminal a long value is continued below itself; elsewhere each is one line. Values may come from a file:
    they are escaped here, and never read as markup.
    """
    if as_json:
        warned = {"warnings": told()} if told() else {}
        typer.echo(json.dumps({**result, **warned}, allow_nan=False))
        return
    shown = [(printable(name), printable(value, 1000)) for name, value in lines]
    indent = max(len(name) for name, _ in shown)
    if sys.stdout.isatty():
        width = max(shutil.get_terminal_size().columns - indent - len(_GAP), _LEAST_WIDTH)
        shown = [
            (name, f"\n{' ' * indent}{_GAP}".join(textwrap.wrap(value, width, break_on_hyphens=False)))
            for name, value in shown
        ]
    typer.echo("\n".join(f"{name:<{indent}}{_GAP}{value}" for name, value in shown))


def size_lines(size: dict[str, float]) -> list[tuple[str, str]]:
    """The figures that stand beside every accuracy, for people."""
    recalls = f"{size['recalled_per_class']:,} images per class, from the floats of {size['ipc']:.3g} images per class"
    return [
        ("size", f"{size['bytes']:,} bytes, {size['floats']:,} floats, {size['bits_per_class']:,.0f} bits per class"),
        ("recalls", recalls),
    ]


def rows_told(spec: "MemorySpec") -> str:
    """How many rows a memory has, and of how many bases each is made where that is not all of them."""
    return f"{spec.rows} rows" + (f" of {spec.support} bases each" if spec.support else "")


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def mean_percent(stat: dict[str, float]) -> str:
    """The mean, the standard deviation where there is more than one figure, and the number of them."""
    spread = f" ± {100 * stat['std']:.2f}" if stat["n"] > 1 else ""
    return f"{100 * stat['mean']:.2f}{spread} % (n = {stat['n']})"
