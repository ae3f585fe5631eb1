"""Edits of memory files and of a signature: every bit, and every value with all checksums made anew."""

import json
import random
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sealing import put_together, taken_apart

import memcli
from memcli.errors import MemcliError, MemcliWarning
from torture import Cases

GOLDEN = Path(__file__).resolve().parents[3] / "tests" / "golden"
ODD = (None, True, -1, 0, 2**64, 1e308, "", "\x1b", [], {}, "x" * 1000)


def run(cases: Cases) -> None:
    """Nothing but what was written is valid, and nothing else is the file that was noted or signed."""
    for path in sorted(GOLDEN.glob("memory-v2-*.safetensors")):
        cases.attempt(f"every bit, {path.stem}", lambda p=path: _bits(p))
        cases.attempt(f"every value, {path.stem}", lambda p=path: _values(p))
    cases.attempt("every byte of a signature", lambda: _signatures(GOLDEN / "memory-v2-float32-fixed.safetensors"))


def _bits(path: Path) -> dict[str, float]:
    data = path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        for at in range(8 * len(data)):
            changed = bytearray(data)
            changed[at // 8] ^= 1 << at % 8
            assert _refused(folder, bytes(changed)), f"bit {at % 8} of byte {at // 8} was not noticed"
    return {"files": 8 * len(data)}


def _values(path: Path) -> dict[str, float]:
    """Each value of the manifest by each odd one, also written back as format 1, with all checksums made anew."""
    noted, drawn, files = memcli.inspect(path).sha256, random.Random(0), 0
    header, whole, payload = taken_apart(path.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        for number in range(len(list(_places(whole)))):
            for odd in (*ODD, drawn.random(), drawn.getrandbits(40)):
                for form in (2, 1):
                    manifest = json.loads(json.dumps(whole)) | ({"manifest_sha256": "made anew"} if form == 1 else {})
                    holder, key = list(_places(manifest))[number]
                    holder[key] = odd
                    manifest["format"] = form
                    content = put_together(header, manifest, payload)
                    files += 1
                    if manifest != whole:  # as where the format or the checksum was replaced, which are made anew
                        assert _refused(folder, content, noted), f"{key!r}: {odd!r} as format {form} was not noticed"
    return {"files": files}


def _signatures(path: Path) -> dict[str, float]:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    made, refused = ec.generate_private_key(ec.SECP256R1()), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "key").write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "public").write_bytes(public)
        signature = memcli.sign(path, folder / "key", folder / "sig")
        whole = signature.read_bytes()
        assert memcli.verify(path, key=folder / "public", signature=signature).signed
        for at in range(len(whole)):
            signature.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            for file, right in ((path, True), (path.with_name("memory-v2-int8-row.safetensors"), False)):
                try:
                    memcli.verify(file, key=folder / "public", signature=signature)
                    assert right, f"byte {at}: a signature of another file was taken"
                except MemcliError:  # of the right file only some: a bundle has names that are not signed
                    refused += 1
    return {"files": 2 * len(whole), "refused": refused}


def _refused(folder: str, content: bytes, noted: str | None = None) -> bool:
    path = Path(folder) / "m.safetensors"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemcliWarning)
        try:
            memcli.inspect(path, expect_sha256=noted)
        except MemcliError:
            return True
    return False


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)
