"""Signatures of files by a key of one's own, all by model-signing of the OpenSSF. Needs the extra `sign`. No torch.

A signature is a small file beside, a bundle of Sigstore's, which `model_signing verify key` reads too. Nothing is
fetched, and nobody is asked.
"""

import io
import os
import stat
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from memcli.errors import MemoryFileError, UsageError
from memcli.files import atomic, container
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.text import printable

_LONGEST = 2**20  # bytes of a key or a signature
_MAKE = "Make one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
_MAKE_PUBLIC = "Give the public one: openssl ec -in key.pem -pubout -out key.pub"


def signature_of(path: str | Path) -> Path:
    """Where the signature of a file is, if nothing else is said: FILE.sig."""
    return Path(f"{path}.sig")


def sign(
    path: str | Path,
    key: str | Path,
    signature: str | Path | None = None,
    *,
    force: bool = False,
    expect_sha256: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Path:
    """Sign a file that memcli wrote, with the private key of an elliptic curve in the PEM file `key`.

    `signature`: where it is written; None: FILE.sig. `force` replaces one. `expect_sha256`: the checksum that the file
    must have. Returns where the signature is.

    Raises MemoryFileError where the file is damaged, UsageError where `key` is no such key, or without the extra,
    ExistsError where there is a signature, LimitError where the file is over `limits`.
    """
    library = _library()
    output = Path(signature or signature_of(path))
    atomic.check_apart(output, path, key)
    atomic.check_output(output, force)
    with container.opened(path, file_bytes=limits.max_file, header_bytes=limits.max_header) as file:
        payload = file.payload()
        file.verify(payload, expect_sha256)
        content = file.content(payload)
    _require_small(key, UsageError, _MAKE)
    try:
        config = library.signing.Config().use_elliptic_key_signer(private_key=Path(key))
    except Exception as error:  # whatever a file that is no key makes of its many parsers
        raise UsageError(
            f"{printable(str(key))} is no private key of an elliptic curve, or has a passphrase", do=_MAKE
        ) from error
    with TemporaryDirectory(prefix="memcli-") as folder:
        copy, made = Path(folder) / "memory.safetensors", Path(folder) / "made.sig"
        copy.write_bytes(content)
        config.sign(copy, made)
        atomic.write_bytes(output, made.read_bytes(), force=force)
    return output


def require_signed(content: bytes, signature: str | Path, key: str | Path) -> None:
    """Raise MemoryFileError where `signature` is not one of `content`, by the key whose public half is in `key`.

    UsageError where `key` is no such key, or without the extra.
    """
    library, shown = _library(), printable(str(signature))
    _require_small(key, UsageError, _MAKE_PUBLIC)
    _require_small(signature, MemoryFileError, "Get it from who signed the file, or name it by `signature`")
    try:
        config = library.verifying.Config().use_elliptic_key_verifier(public_key=Path(key))
    except Exception as error:  # as above
        raise UsageError(f"{printable(str(key))} is no public key of an elliptic curve", do=_MAKE_PUBLIC) from error
    with TemporaryDirectory(prefix="memcli-") as folder, redirect_stdout(io.StringIO()):
        copy = Path(folder) / "memory.safetensors"
        copy.write_bytes(content)  # what is compared is what was checked, whatever its file has become
        try:
            config.verify(copy, Path(signature))
        except Exception as error:  # whatever a stranger's signature makes of its many parsers
            raise MemoryFileError(
                f"{shown} is not a signature of it by {printable(str(key))}",
                do="Do not use it, or ask who signed it for the right file, signature and key",
            ) from error


def _library() -> Any:
    try:
        import model_signing.signing
        import model_signing.verifying
    except ImportError as error:
        raise UsageError(
            f"signatures need model-signing, which cannot be used here ({printable(str(error))})",
            do="Run pip install 'memcli[sign]'",
        ) from None
    return model_signing


def _require_small(path: str | Path, kind: type[UsageError | MemoryFileError], do: str) -> None:
    """Raise `kind` where there is no such file, or it is none that can be read at once."""
    try:
        about = os.stat(path)
    except OSError as error:
        raise kind(f"{printable(str(path))} cannot be read ({error.strerror})", do=do) from error
    if not stat.S_ISREG(about.st_mode) or about.st_size > _LONGEST:
        raise kind(f"{printable(str(path))} is no small file, as keys and signatures are", do=do)
