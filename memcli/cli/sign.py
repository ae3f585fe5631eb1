"""`memcli sign`: a signature of a file, by a key of one's own. It never imports torch."""

from pathlib import Path
from typing import Annotated

import typer

from memcli.cli._options import DATA, OUTPUT, ExpectSha256, Force, option
from memcli.cli._output import emit

PANEL = "Share a memory"  # of memcli --help


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A memory file, or weights.", show_default=False)],
    *,
    key: Annotated[
        Path,
        option(DATA, "--key", metavar="KEY.pem", help="Your private key: an elliptic curve's, no passphrase."),
    ],
    output: Annotated[
        Path | None, option(OUTPUT, "--output", "-o", metavar="FILE.sig", help="Where to write; default: FILE.sig.")
    ] = None,
    force: Force = False,
    expect_sha256: ExpectSha256 = None,
) -> None:
    """Sign a file, so that whoever has your public key can tell that it is yours (memcli verify FILE --key).

    Example: memcli sign shoes.safetensors --key key.pem
    """
    from memcli.files.signing import sign

    made = sign(file, key, output, force=force, expect_sha256=expect_sha256)
    emit({}, [("signature", str(made)), ("next", f"memcli verify {file} --key PUB.pem")], as_json=False)
