"""`memcli pull`: fetch a memory from a repository of the Hugging Face Hub."""

from dataclasses import replace
from typing import Annotated

import typer

from memcli.cli._options import (
    LIMITS,
    MAX_IMAGES,
    ExpectSha256,
    Force,
    Json,
    MaxImages,
    Output,
    Trust,
    limits,
    option,
)
from memcli.cli._output import emit

PANEL = "Share a memory"  # of memcli --help
JSON = {
    "output": "the path that was written",
    "repository": "USER/NAME",
    "commit": "the commit that it is from: pull hf:USER/NAME@COMMIT to get the same again",
    "file": "its name in the repository",
    "file_bytes": "its size",
    "sha256": "the checksum of the memory",
}


def command(
    place: Annotated[
        str,
        typer.Argument(
            metavar="hf:USER/NAME",
            help="The repository, with @REVISION and /FILE after it where wanted.",
            show_default=False,
        ),
    ],
    *,
    output: Output,
    force: Force = False,
    json: Json = False,
    max_file: Annotated[
        float, option(LIMITS, "--max-file", min=0, max=2**20, metavar="MIB", help="Refuse a file that is larger.")
    ] = 1024,
    max_images: MaxImages = MAX_IMAGES,
    expect_sha256: ExpectSha256 = None,
    trust: Trust = False,
) -> None:
    """Fetch a memory from the Hugging Face Hub; it is checked whole before it is written.

    Example: memcli pull hf:ada/shoes -o shoes.safetensors
    """
    from memcli.jobs.hub import pull

    allowed = limits(max_images, trust=trust)
    if not trust:
        allowed = replace(allowed, max_file=int(max_file * 2**20))
    found = pull(place, output, force=force, limits=allowed, expect_sha256=expect_sha256)
    result = {
        "output": str(found.path),
        "repository": found.repository,
        "commit": found.commit,
        "file": found.file,
        "file_bytes": found.file_bytes,
        "sha256": found.sha256,
    }
    lines = [
        ("memory", f"{found.path}, {found.file_bytes:,} bytes, valid"),
        ("from", f"hf:{found.repository}@{found.commit}/{found.file}"),
        ("next", f"memcli inspect {found.path}"),
    ]
    emit(result, lines, as_json=json)
