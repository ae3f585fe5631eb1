"""`memcli recall`: write a training set from a memory."""

from pathlib import Path
from typing import Annotated

from memcli.cli._options import (
    COMPUTING,
    DATA,
    MAX_IMAGES,
    MAX_RECALL,
    OUTPUT,
    Device,
    Force,
    Json,
    MaxImages,
    MaxRecall,
    MemoryFile,
    Output,
    Quiet,
    Verbose,
    limits,
    option,
)
from memcli.cli._output import emit, percent
from memcli.cli._progress import reporting

JSON = {
    "output": "the path that was written",
    "format": "its format",
    "images": "the number of images",
    "shape": "`[channels, height, width]` of each",
    "clipped_share": "the share of values outside [0, 1], which PNG clips",
}


def command(
    file: MemoryFile,
    *,
    output: Output,
    format: Annotated[
        str | None,
        option(OUTPUT, "--format", metavar="NAME", help="png (a folder), npz or safetensors; else by PATH's suffix."),
    ] = None,
    preview: Annotated[
        Path | None, option(OUTPUT, "--preview", metavar="FILE.png", help="Also write a picture of a few images.")
    ] = None,
    force: Force = False,
    json: Json = False,
    query: Annotated[
        list[str] | None,
        option(
            DATA,
            "--query",
            metavar="TEXT",
            help="What to recall, repeatable: a class, or a mixture such as cat:0.7,dog:0.3. Default: every class.",
        ),
    ] = None,
    per_class: Annotated[
        int | None, option(DATA, "--per-class", metavar="N", help="Only the first N images of each query.")
    ] = None,
    max_images: MaxImages = MAX_IMAGES,
    max_recall: MaxRecall = MAX_RECALL,
    chunk: Annotated[
        int, option(COMPUTING, "--chunk", min=1, max=65536, metavar="N", help="Images in memory at a time.")
    ] = 256,
    device: Device = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write the training set that a memory recalls, as pictures or as arrays.

    Example: memcli recall shoes.safetensors -o recalled/ --preview shoes.png
    """
    from memcli.exporters import format_of
    from memcli.files import atomic
    from memcli.jobs.opening import load
    from memcli.jobs.recall import preview as write_preview
    from memcli.jobs.recall import recall

    format = format or format_of(output)
    with reporting(quiet=quiet, verbose=verbose) as progress:
        if preview is not None:
            atomic.check_output(preview, force)
        artifact = load(file, limits(max_images, max_recall))
        recalled = recall(
            artifact,
            output,
            format=format,
            queries=tuple(query or ()),
            per_class=per_class,
            chunk=chunk,
            force=force,
            device=device,
            progress=progress,
        )
        if preview is not None:
            write_preview(artifact.memory, preview, force=force)
    result = {
        "output": str(output),
        "format": format,
        "images": recalled.images,
        "shape": list(recalled.shape),
        "clipped_share": recalled.clipped_share,
    }
    lines = [
        ("output", str(output)),
        ("format", format),
        ("images", f"{recalled.images:,} of {'x'.join(map(str, recalled.shape))}"),
        ("clipped", f"{percent(recalled.clipped_share)} of the values lie outside [0, 1]"),
    ]
    emit(result, lines, as_json=json)
