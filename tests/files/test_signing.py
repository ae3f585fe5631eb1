"""A signature is of one file by one key; everything else is refused in one line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import write_memory

from memcli.errors import ExistsError, MemoryFileError, UsageError
from memcli.files.signing import sign
from memcli.jobs.verify import verify


@pytest.fixture
def library() -> None:
    pytest.importorskip("OpenSSL", reason="the extra sign is not installed")
    pytest.importorskip("model_signing", reason="the extra sign is not installed")


@pytest.fixture
def key(tmp_path: Path, library: None) -> Callable[..., tuple[Path, Path]]:  # noqa: ARG001
    """`key(name)` makes a private key and its public half, as openssl does."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    def make(name: str = "key", curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
        made = ec.generate_private_key(curve or ec.SECP256R1())
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        private.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        public.write_bytes(made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return private, public

    return make


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return write_memory(tmp_path / "m.safetensors")


def test_what_was_signed_is_verified(memory: Path, key: Callable[..., tuple[Path, Path]]) -> None:
    private, public = key()
    made = sign(memory, private)
    assert made == Path(f"{memory}.sig")
    assert verify(memory, key=public).signed
    assert not verify(memory).signed
    moved = memory.rename(memory.with_name("other"))
    assert verify(moved, key=public, signature=made).signed


def test_model_signing_itself_reads_what_is_signed_here(memory: Path, key: Callable[..., tuple[Path, Path]]) -> None:
    private, public = key()
    made = sign(memory, private)
    given = ["verify", "key", str(memory), "--signature", str(made), "--public_key", str(public)]
    subprocess.run([sys.executable, "-m", "model_signing", *given], check=True, capture_output=True)


def test_another_file_key_or_signature_is_refused(memory: Path, key: Callable[..., tuple[Path, Path]]) -> None:
    (private, public), (_, strange) = key(), key("strange")
    made = sign(memory, private)
    with pytest.raises(
        MemoryFileError, match=r"m\.safetensors: .*m\.safetensors\.sig is not a signature of it by .*strange"
    ):
        verify(memory, key=strange)
    whole = made.read_text()
    bundle = json.loads(whole)
    bundle["dsseEnvelope"]["signatures"] = []
    no_hint = {**json.loads(whole), "verificationMaterial": {"publicKey": {}}}
    for content in ("", "{}", "[]", "[" * 100_000, whole[:-9], json.dumps(bundle), whole.replace("a", "b"), "\x1b[2J"):
        made.write_text(content)
        with pytest.raises(MemoryFileError, match=r"is not a signature of it by .* Do not use it, or ask"):
            verify(memory, key=public)
    made.write_text(json.dumps(no_hint))
    assert verify(memory, key=public).signed
    with pytest.raises(MemoryFileError, match="is not a signature of it"):
        verify(memory, key=strange)
    made.write_text(whole)
    write_memory(memory, classes=("0", "2", "1"))
    with pytest.raises(MemoryFileError, match=r"is not a signature of it by .*key\.pub"):
        verify(memory, key=public)


def test_what_is_verified_is_what_was_checked(
    memory: Path, key: Callable[..., tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signed file that takes the place of the checked one in between vouches for nothing."""
    private, public = key()
    made = sign(memory, private)
    signed = memory.read_bytes()
    write_memory(memory, classes=("0", "2", "1"))
    (memory.parent / "signed").write_bytes(signed)
    open_file = os.open

    def exchanged(file: str, *args: int, **more: int) -> int:
        descriptor = open_file(file, *args, **more)
        if Path(file) == memory:
            os.replace(memory.parent / "signed", memory)
        return descriptor

    monkeypatch.setattr(os, "open", exchanged)
    with pytest.raises(MemoryFileError, match="is not a signature of it"):
        verify(memory, key=public, signature=made)
    assert memory.read_bytes() == signed


def test_files_that_are_no_keys_are_refused(
    memory: Path, key: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    private, public = key()
    curve, _ = key("curve", ec.SECP256K1())
    for wrong in (public, curve, memory):
        with pytest.raises(
            UsageError, match=r"is no private key of an elliptic curve, or .* Make one: openssl ecparam"
        ):
            sign(memory, wrong, tmp_path / "s")
    sign(memory, private)
    for wrong in (private, memory):
        with pytest.raises(
            UsageError, match=r"is no public key of an elliptic curve\. Give the public one: openssl ec"
        ):
            verify(memory, key=wrong)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(bytes(2**20 + 1))
    for wrong, why in (
        ("fifo", "no small file"),
        ("large", "no small file"),
        ("none", r"cannot be read \(No such file"),
    ):
        with pytest.raises(UsageError, match=why):
            sign(memory, tmp_path / wrong, tmp_path / "s")
        with pytest.raises(UsageError, match=why):
            verify(memory, key=tmp_path / wrong)
        with pytest.raises(
            MemoryFileError, match=rf"{why}.* Get it from who signed the file, or name it by `signature`"
        ):
            verify(memory, key=public, signature=tmp_path / wrong)


def test_what_is_damaged_or_not_meant_is_not_signed(memory: Path, key: Callable[..., tuple[Path, Path]]) -> None:
    private, _ = key()
    with pytest.raises(MemoryFileError, match="was expected"):
        sign(memory, private, expect_sha256="0" * 64)
    made = sign(memory, private)
    with pytest.raises(ExistsError):
        sign(memory, private)
    with pytest.raises(UsageError, match="is named twice"):
        sign(memory, private, private, force=True)
    sign(memory, private, force=True)
    made.unlink()
    memory.write_bytes(memory.read_bytes()[:-1] + b"x")
    with pytest.raises(MemoryFileError, match="the checksum does not match"):
        sign(memory, private)
    assert not made.exists()


def test_a_signature_without_a_key_is_asked_for(memory: Path) -> None:
    with pytest.raises(UsageError, match=r"there is a signature and no key\. Give `key`"):
        verify(memory, signature="s")


def test_without_the_extra_it_is_named(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    shutil.copy(memory, tmp_path / "key")
    for tried in (lambda: sign(memory, tmp_path / "key"), lambda: verify(memory, key=tmp_path / "key")):
        with pytest.raises(UsageError, match=r"signatures need model-signing, .*Run pip install 'memcli\[sign\]'"):
            tried()
