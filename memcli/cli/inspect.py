"""`memcli inspect`: what a memory file holds. It imports torch only to draw pictures."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from memcli.cli._options import (
    MAX_IMAGES,
    MESSAGES,
    OUTPUT,
    ExpectSha256,
    Json,
    MaxImages,
    MemoryFile,
    Trust,
    limits,
    option,
)
from memcli.cli._output import LABELS_TOLD, emit, rows_told, size_lines
from memcli.errors import UsageError
from memcli.text import nested_lines, printable

if TYPE_CHECKING:
    from memcli.files.memoryfile import Artifact

_READ = 128 << 20  # bytes of a file, at most, that a look reads to the end: a third of a second (docs/scale.md)
PANEL = "Look at a memory"  # of memcli --help
JSON = {
    "format": "the version of the file's format",
    "data": "the data set: name, channels, height, width, classes, mean, std; and zca where images are whitened",
    "memory": "the memory: bases, scale, rows, storage, labels; and cells and support where there are any",
    "size": "`{floats, bytes, bits_per_class, recalled_per_class, ipc}`",
    "recipe": "how it was distilled",
    "seed": "the seed of that",
    "retrain": "how networks are trained on it",
    "results": "what was measured when it was made",
    "provenance": "source, fingerprint, licence and versions",
    "sha256": "its checksum: it names the memory and all that its file says (docs/format.md)",
    "verified": "whether its numbers were read and its checksum compared; false where it has more than 128 MiB",
    "file_bytes": "the size of the file",
}


def command(
    file: MemoryFile,
    *,
    json: Json = False,
    pictures: Annotated[
        bool | None,
        option(
            OUTPUT,
            "--pictures/--no-pictures",
            help="Draw an image of each class; default: on a terminal that shows colours.",
        ),
    ] = None,
    max_images: MaxImages = MAX_IMAGES,
    expect_sha256: ExpectSha256 = None,
    trust: Trust = False,
    verbose: Annotated[bool, option(MESSAGES, "--verbose", "-v", help="Also every setting of its recipe.")] = False,
) -> None:
    """Check a memory file and say what it holds.

    Of a file of more than 128 MiB, the header is checked; `memcli verify` checks the rest, and so does
    --expect-sha256.

    Example: memcli inspect shoes.safetensors
    """
    from memcli.cli._pictures import can_draw, draw
    from memcli.files.inspection import glance, inspect

    wanted = not _is_large(file) if pictures is None else pictures
    drawn = wanted and not json and can_draw()
    if pictures and not drawn:
        raise UsageError(
            "pictures are drawn on a terminal that shows colours, and not in JSON",
            do="Leave out `pictures`, or see `memcli recall --preview` and `memcli report`",
        )
    read: Artifact | None = None
    if drawn:
        from memcli.files.memoryfile import read_inspected

        found, read = read_inspected(file, limits(max_images, trust=trust), expect_sha256)
    elif expect_sha256:
        found = inspect(file, limits(max_images, trust=trust), expect_sha256=expect_sha256)
    else:
        found = glance(file, limits(max_images, trust=trust), most=_READ)
    manifest = found.manifest
    stored, spec = manifest.to_json(), manifest.spec
    data, retrain = spec.data, manifest.retrain
    images = retrain.images(len(data.classes))
    result = {
        "format": found.format,
        "data": stored["data"],
        "memory": stored["memory"],
        "size": spec.size(),
        "recipe": manifest.recipe,
        "seed": manifest.seed,
        "retrain": stored["retrain"],
        "results": manifest.results,
        "provenance": manifest.provenance,
        "sha256": found.sha256,
        "verified": found.verified,
        "file_bytes": found.file_bytes,
    }
    lines = [
        ("file", f"{file}, {found.file_bytes:,} bytes, format {found.format}, {_checked(found.verified)}"),
        (
            "data",
            f"{data.name}, {'x'.join(map(str, data.shape))}, {len(data.classes)} classes: {', '.join(data.classes)}"
            f"{'; whitened' if data.zca else ''}",
        ),
        ("memory", f"{spec.bases} bases {spec.layout}, {rows_told(spec)}, stored as {spec.storage}"),
        ("labels", LABELS_TOLD[spec.labels]),
        *size_lines(spec.size()),
        ("recipe", f"{_recipe(manifest.recipe)}, seed {manifest.seed}{'' if verbose else '; --verbose prints it'}"),
        ("retrain", f"{retrain.network}, {retrain.steps} steps of {images} images, rate {retrain.lr:.3g}"),
        *nested_lines("results", manifest.results),
        *nested_lines("provenance", manifest.provenance),
        (found.checksum, found.sha256),
        *(nested_lines("recipe", manifest.recipe) if verbose else ()),
        *(nested_lines("retrain", stored["retrain"]) if verbose else ()),
    ]
    emit(result, lines, as_json=json)
    if read is not None:
        from rich.console import Console

        draw(read.memory, Console())


def _is_large(file: Path) -> bool:
    try:
        return os.stat(file).st_size > _READ
    except OSError:  # who opens it says why
        return False


def _checked(verified: bool) -> str:
    return "valid" if verified else "its header is valid, its numbers were not read: `memcli verify` does that"


def _recipe(recipe: dict[str, Any]) -> str:
    """The name of a recipe and its outer steps, as far as the file has them; it may have been written by anything."""
    name, steps = recipe.get("name"), recipe.get("steps")
    named = printable(name) if isinstance(name, str) else "without a name"
    return f"{named}, {steps:,} outer steps" if isinstance(steps, int) else named
