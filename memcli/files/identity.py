"""The one checksum of a file: over its tensors and over all that its manifest says (docs/format.md, "The checksum").

The manifest ends in it, and what it covers is the manifest's text as it stands in the file, so that no two readers can
understand other things by it. Files of format 1 have another, over the tensors alone, and their manifests a seal, or
none in the first files. No torch.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from memcli.errors import MemcliWarning, MemoryFileError, UsageError
from memcli.files.headers import Header, canonical, damaged
from memcli.text import printable

FORMAT, NEWEST = 2, 3  # of files that are written, unless they say another; the newest that is read
CHECKSUM = "sha256"
SEAL = "manifest_sha256"  # of format 1: over the rest of the manifest
Part = tuple[str, str, tuple[int, ...], Any]  # a tensor: name, dtype, shape, bytes
_END = re.compile(r',"sha256":"([0-9a-f]{64})"\}')
_END_LENGTH = len(f',"{CHECKSUM}":""}}') + 64


class MemoryFileWarning(MemcliWarning):
    """A file is read although no checksum covers all that it says."""


class NewerFormatError(MemoryFileError):
    """A file that a newer memcli wrote. It is not damaged."""


def format_of(manifest: dict[str, Any]) -> int:
    """The number of the format; 1 where none is told, as in some files of the first format.

    Raises MemoryFileError, and NewerFormatError where it is not known yet.
    """
    number = manifest.get("format", 1)
    if type(number) is not int:
        raise damaged("format is not a whole number")
    if number > NEWEST:
        raise NewerFormatError(f"this file was written by a newer memcli (format {number})", do="Upgrade memcli")
    if number < 1:
        raise damaged(f"there is no format {number}")
    return number


def sealed(manifest: dict[str, Any], parts: Iterable[Part]) -> tuple[str, str]:
    """The text of a manifest as it is stored, with its checksum, and its format if it tells of none; and the checksum.

    Raises UsageError where JSON cannot hold the manifest, or it has a checksum already.
    """
    if {CHECKSUM, SEAL} & manifest.keys():
        raise UsageError("a manifest tells of its own checksum", do="Leave that to the writer")
    text = canonical({"format": FORMAT, **manifest})
    sha256 = _digest(text, parts)
    return f'{text[:-1]},"{CHECKSUM}":"{sha256}"}}', sha256


def told(header: Header) -> str:
    """The checksum that is in the manifest, which nobody compared yet. MemoryFileError where there is none."""
    if format_of(header.manifest) > 1 and _END.fullmatch(header.text[-_END_LENGTH:]) is None:
        raise damaged(f"its manifest does not end in a {CHECKSUM}")
    return str(header.manifest.get(CHECKSUM))


def verify(header: Header, payload: bytes) -> str:
    """The checksum that is in the manifest, once it was found to be that of the payload and of what it covers.

    Raises MemoryFileError.
    """
    view = memoryview(payload)
    parts = ((name, entry.dtype, entry.shape, view[entry.begin : entry.end]) for name, entry in header.tensors.items())
    manifest, stored = header.manifest, told(header)
    if format_of(manifest) > 1:
        if stored != _digest(f"{header.text[:-_END_LENGTH]}}}", parts):
            raise damaged("the checksum does not match: this is not what was written")
    elif stored != _digest(None, parts):
        raise damaged("the checksum does not match: the tensors are not those that were written")
    elif SEAL in manifest and manifest[SEAL] != _seal(manifest):
        raise damaged(f"{SEAL} does not match: the manifest is not the one that was written")
    return stored


def of_each(expected: Sequence[str], files: int) -> list[str | None]:
    """The checksum that each of so many files must have; none where none is given. UsageError for another number."""
    if expected and len(expected) != files:
        raise UsageError(
            f"{len(expected)} checksums were given for {files} files", do="Give `expect_sha256` once for each"
        )
    return list(expected) or [None] * files


def require(sha256: str, expected: str | None) -> None:
    """Raise MemoryFileError where a checksum is not the one that was `expected`, if one was."""
    if expected is not None and sha256 != expected.strip().lower():
        raise MemoryFileError(
            f"its {CHECKSUM} is {sha256}, and {printable(expected)} was expected",
            do="Get the file that is meant, or find out who changed it",
        )


def warn(manifest: dict[str, Any], shown: str, expected: str | None) -> None:
    """Warn where no checksum covers all that a file says, or not the one that was `expected`.

    `shown`: the name of the file.
    """
    if format_of(manifest) > 1:
        return
    what = "class names, mean, standard deviation, labels, recipes, licence"
    if SEAL not in manifest:
        why = f"it is of format 1, and no checksum covers what it says besides its tensors: {what}"
        warnings.warn(f"{shown}: {why}. Get it anew, or trust who gave it to you.", MemoryFileWarning, stacklevel=4)
    elif expected is not None:
        why = f"the {CHECKSUM} of a file of format 1 covers its tensors, and not what it says besides: {what}"
        warnings.warn(
            f"{shown}: {why}. Expect that of a file of format {FORMAT} or later.", MemoryFileWarning, stacklevel=4
        )


def _digest(text: str | None, parts: Iterable[Part]) -> str:
    """SHA-256 in hex, over `text` and one line feed, and over every tensor in the order of their names."""
    digest = hashlib.sha256(b"" if text is None else text.encode() + b"\n")
    for name, dtype, shape, raw in sorted(parts, key=lambda part: part[0]):
        digest.update(json.dumps([name, dtype, shape], separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
        digest.update(raw)
    return digest.hexdigest()


def _seal(manifest: dict[str, Any]) -> str:
    """The seal of format 1: SHA-256 in hex, over the canonical JSON of the manifest without it."""
    rest = {key: value for key, value in manifest.items() if key != SEAL}
    return hashlib.sha256(canonical(rest).encode()).hexdigest()
