"""`memcli card`: the README.md beside a memory that is handed on. It never imports torch."""

from pathlib import Path
from typing import Annotated

from memcli.cli._options import DATA, ExpectSha256, Force, MemoryFile, Output, option
from memcli.cli._output import emit

PANEL = "Share a memory"  # of memcli --help


def command(
    file: MemoryFile,
    *,
    output: Output,
    force: Force = False,
    figures: Annotated[
        Path | None,
        option(DATA, "--figures", metavar="FILE.json", help="Tell the accuracies of memcli eval FILE --json too."),
    ] = None,
    expect_sha256: ExpectSha256 = None,
) -> None:
    """Write what a memory is, its licence, and what it is good for and not, as the Hugging Face Hub shows it.

    Example: memcli card shoes.safetensors -o README.md --figures eval.json
    """
    from memcli.files import atomic
    from memcli.files.card import card

    atomic.check_output(output, force)
    text = card(file, figures=figures, expect_sha256=expect_sha256).encode()
    atomic.write_bytes(output, text, force=force)
    emit({}, [("card", str(output)), ("bytes", f"{len(text):,}")], as_json=False)
