"""`memcli cache`: which images are decoded on disk, and their end."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memcli.cli._options import DATA, Json, option
from memcli.cli._output import emit

if TYPE_CHECKING:
    from memcli.data.cache_entries import Entry

PANEL = "What there is"  # of memcli --help
JSON = {
    "sets": "those that are there, or that were removed, as `{path, name, split, images, shape, fit, bytes, done, "
    "in_use}`; `done` are the images that are decoded",
    "bytes": "what they take, or took, of the disk",
}


class What(StrEnum):
    LS = "ls"
    CLEAR = "clear"


def command(
    what: Annotated[What, typer.Argument(metavar="ls|clear", help="List the sets, or remove them.")],
    *,
    cache: Annotated[
        Path | None, option(DATA, "--cache", metavar="DIR", help="The folder; default: ~/.cache/memcli.")
    ] = None,
    json: Json = False,
) -> None:
    """List or remove the decoded images that other commands keep on disk (--cache). Nothing else there is touched.

    Example: memcli cache ls
    """
    from memcli.data.cache import folder_of
    from memcli.data.cache_entries import clear, entries

    found = (entries if what is What.LS else clear)(folder_of(cache))
    size = sum(entry.bytes for entry in found)
    told = "removed" if what is What.CLEAR else "total"
    lines = [(str(entry.path), _line(entry)) for entry in found]
    emit(
        {"sets": [_plain(entry) for entry in found], "bytes": size},
        [*lines, (told, f"{len(found)} sets, {size / 2**20:,.0f} MiB")],
        as_json=json,
    )


def _line(entry: "Entry") -> str:
    about = entry.contents
    state = "" if entry.done == about.images else f", {entry.done:,} decoded"
    busy = ", in use" if entry.in_use else ""
    shape = "x".join(map(str, about.shape))
    return f"{about.name} {about.split}, {about.images:,} of {shape}, {entry.bytes / 2**20:,.0f} MiB{state}{busy}"


def _plain(entry: "Entry") -> dict[str, Any]:
    about = entry.contents
    what = {"name": about.name, "split": about.split, "images": about.images, "shape": list(about.shape)}
    state = {"fit": about.fit, "bytes": entry.bytes, "done": entry.done, "in_use": entry.in_use}
    return {"path": str(entry.path), **what, **state}
