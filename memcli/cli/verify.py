"""`memcli verify`: whether files are whole, and the ones that were meant. It imports torch only for `--full`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memcli.cli._boundary import as_expected, say_error
from memcli.cli._flags import with_flags
from memcli.cli._options import (
    DATA,
    MAX_BYTES,
    MAX_IMAGES,
    MAX_SECONDS,
    ExpectEachSha256,
    Json,
    MaxBytes,
    MaxImages,
    MaxSeconds,
    Quiet,
    Trust,
    Verbose,
    limits,
    option,
)
from memcli.cli._output import emit
from memcli.cli._progress import reporting
from memcli.errors import UsageError

if TYPE_CHECKING:
    from memcli.jobs.verify import Verified

PANEL = "Look at a memory"  # of memcli --help
JSON = {
    "valid": "whether all files are",
    "files": "for each file `{path, valid, error, exit_code}`, the last two null where it is valid; and then `{kind, "
    "format, sha256, file_bytes, images, low, high, signed}`: with --full how many images were recalled, and the range "
    "of their values, else null; and whether it is signed by the key that was given",
}


def command(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Memory files, weights, and others of memcli's.", show_default=False),
    ],
    *,
    full: Annotated[bool, option(DATA, "--full", help="Recall all images of a memory; ask a network.")] = False,
    key: Annotated[
        Path | None,
        option(
            DATA, "--key", metavar="PUB.pem", help="Also check that each was signed (memcli sign) by this public key."
        ),
    ] = None,
    signature: Annotated[
        Path | None, option(DATA, "--signature", metavar="FILE.sig", help="The signature; default: beside the file.")
    ] = None,
    json: Json = False,
    max_images: MaxImages = MAX_IMAGES,
    max_bytes: MaxBytes = MAX_BYTES,
    max_seconds: MaxSeconds = MAX_SECONDS,
    expect_sha256: ExpectEachSha256 = None,
    trust: Trust = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check files to the end: header, numbers, checksum, signature. The exit code is that of the first fault.

    Example: memcli verify shoes.safetensors net.safetensors --full
    """
    from memcli.files.identity import of_each
    from memcli.jobs.verify import verify

    sums = of_each(expect_sha256 or (), len(files))
    if signature is not None and len(files) > 1:
        raise UsageError(
            f"one signature was given for {len(files)} files", do="Leave out `signature`, or give one file"
        )
    allowed = limits(max_images, max_bytes, max_seconds, trust=trust)
    told: list[dict[str, Any]] = []
    lines: list[tuple[str, str]] = []
    for path, expected in zip(files, sums, strict=True):
        given: dict[str, Any] = {"expect_sha256": expected, "key": key, "signature": signature, "limits": allowed}
        try:
            if full:
                with reporting(quiet=quiet, verbose=verbose) as progress:
                    found = verify(path, True, progress=progress, **given)
            else:
                found = verify(path, **given)
        except Exception as error:
            expected_error = as_expected(error)
            if expected_error is None:
                raise
            fault = with_flags(str(expected_error))
            say_error(fault)
            told.append({"path": str(path), "valid": False, "error": fault, "exit_code": expected_error.exit_code})
            lines.append((str(path), "NOT VALID"))
        else:
            told.append({**asdict(found), "path": str(path), "valid": True, "error": None, "exit_code": None})
            lines.append((str(path), _line(found)))
    emit({"valid": all(each["valid"] for each in told), "files": told}, lines, as_json=json)
    if codes := [each["exit_code"] for each in told if not each["valid"]]:
        raise typer.Exit(codes[0])


def _line(found: "Verified") -> str:
    """A valid file, for people."""
    of_pixels = f", {found.images:,} images of values from {found.low:.3g} to {found.high:.3g}" if found.images else ""
    signed = ", signed" if found.signed else ""
    return f"valid: {found.kind}, format {found.format}, sha256 {found.sha256}{of_pixels}{signed}"
