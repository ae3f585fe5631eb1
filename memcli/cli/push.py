"""`memcli push`: put a memory and its card into a repository of the Hugging Face Hub."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from memcli.cli._options import OUTPUT, ExpectSha256, Json, MemoryFile, option
from memcli.cli._output import emit

PANEL = "Share a memory"  # of memcli --help
JSON = {
    "url": "of the commit",
    "file": "the name of the memory in the repository",
    "sha256": "the checksum of the memory",
    "card": "written, or kept where the repository had one",
}


def command(
    file: MemoryFile,
    to: Annotated[str, typer.Argument(metavar="hf:USER/NAME", help="The repository, with @BRANCH or /FILE after it.")],
    *,
    card: Annotated[
        Path | None,
        option(OUTPUT, "--card", metavar="FILE.md", help="The card; default: made by memcli card where there is none."),
    ] = None,
    public: Annotated[bool, option(OUTPUT, "--public", help="Let all see a repository that this makes.")] = False,
    json: Json = False,
    expect_sha256: ExpectSha256 = None,
) -> None:
    """Put a memory and its card into a repository of the Hugging Face Hub, which is made where it is missing.

    Example: memcli push shoes.safetensors hf:ada/shoes
    """
    from memcli.jobs.hub import push

    done = push(file, to, public=public, own_card=card, expect_sha256=expect_sha256)
    lines = [("commit", done.url), ("file", done.file), ("card", done.card)]
    emit(asdict(done), lines, as_json=json)
