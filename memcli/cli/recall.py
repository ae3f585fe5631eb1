"""`memcli recall`: write a training set from a memory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from memcli.cli._options import (
    COMPUTING,
    DATA,
    MAX_BYTES,
    MAX_IMAGES,
    MAX_SECONDS,
    OUTPUT,
    Device,
    ExpectSha256,
    Force,
    Json,
    MaxBytes,
    MaxImages,
    MaxSeconds,
    MemoryFile,
    Quiet,
    Trust,
    Verbose,
    limits,
    option,
)
from memcli.cli._output import emit, percent
from memcli.cli._progress import reporting

if TYPE_CHECKING:
    from memcli.jobs.recall import Recalled

JSON = {
    "output": "the path that was written",
    "format": "its format",
    "images": "the number of images",
    "shape": "`[channels, height, width]` of each",
    "clipped_share": "the share of values outside [0, 1], which pictures clip unless `--encode range`",
    "memory_sha256": "the checksum of the memory",
    "encoding": "of a format of pictures, `{name, low, high}`: what 0 and 255 stand for in each channel; else null",
}
_FEW = 0.01  # the share of clipped values below which they are not worth a word


def command(
    file: MemoryFile,
    *,
    output: Annotated[
        str, option(OUTPUT, "--output", "-o", metavar="PATH", help="Where to write; a folder ends in / or no suffix.")
    ],
    format: Annotated[
        str | None,
        option(
            OUTPUT,
            "--format",
            metavar="NAME",
            help="png (a folder), npz, safetensors, parquet, webdataset, pt; else by suffix.",
        ),
    ] = None,
    encode: Annotated[
        str | None,
        option(
            OUTPUT,
            "--encode",
            metavar="NAME",
            help="clip values of pictures to [0, 1], which is the default, or keep their whole range: range.",
        ),
    ] = None,
    preview: Annotated[
        Path | None,
        option(OUTPUT, "--preview", metavar="FILE.png", help="Also write a picture of a few images."),
    ] = None,
    force: Force = False,
    json: Json = False,
    query: Annotated[
        list[str] | None,
        option(
            DATA,
            "--query",
            metavar="TEXT",
            help="What to recall, repeatable: a class, a mixture such as cat:0.7,dog:0.3, an interpolation such as "
            "cat..dog:8, or a .json, .csv or .npy file of label vectors. Default: every class.",
        ),
    ] = None,
    per_class: Annotated[
        int | None, option(DATA, "--per-class", metavar="N", help="Only the first N images of each query.")
    ] = None,
    max_images: MaxImages = MAX_IMAGES,
    max_bytes: MaxBytes = MAX_BYTES,
    max_seconds: MaxSeconds = MAX_SECONDS,
    expect_sha256: ExpectSha256 = None,
    trust: Trust = False,
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
    from memcli.files import atomic
    from memcli.jobs.opening import load
    from memcli.jobs.preview import preview as write_preview
    from memcli.jobs.recall import recall

    queries = tuple(query or ())
    with reporting(quiet=quiet, verbose=verbose) as progress:
        atomic.check_apart(output, file)
        if preview is not None:
            atomic.check_apart(preview, file, output)
            atomic.check_output(preview, force)
        allowed = limits(max_images, max_bytes, max_seconds, trust=trust)
        artifact = load(file, allowed, expect_sha256=expect_sha256)
        recalled = recall(
            artifact,
            output,
            format=format,
            encode=encode,
            queries=queries,
            per_class=per_class,
            chunk=chunk,
            force=force,
            device=device,
            limits=allowed,
            progress=progress,
        )
        if preview is not None:
            write_preview(artifact, preview, queries=queries, force=force)
    encoding = None if recalled.encoding is None else recalled.encoding.to_json()
    result = {
        "output": output,
        "format": recalled.format,
        "images": recalled.images,
        "shape": list(recalled.shape),
        "clipped_share": recalled.clipped_share,
        "memory_sha256": artifact.sha256,
        "encoding": encoding,
    }
    lines = [
        ("output", output),
        ("format", recalled.format),
        ("images", f"{recalled.images:,} of {'x'.join(map(str, recalled.shape))}"),
        ("outside", f"{percent(recalled.clipped_share)} of the values lie outside [0, 1]"),
        ("to train from", _advice(recalled)),
    ]
    emit(result, lines, as_json=json)


def _advice(recalled: "Recalled") -> str:
    """Whether what was written is good to train from, and what is better."""
    if recalled.encoding is None:
        return "good: values are as they were recalled"
    if recalled.encoding.name == "range":
        return "good with the transforms that memcli.json holds, which undo the encoding; without them, bad"
    if recalled.clipped_share < _FEW:
        return "good: few values are clipped"
    return "costs accuracy, since values are clipped (docs/pictures.md): --encode range, npz and safetensors do not"
