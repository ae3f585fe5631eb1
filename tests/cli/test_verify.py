"""`memcli verify` and `memcli sign`: several files, one exit code, and the flags' own refusals; what is warned of."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memcli.cli import verify
from memcli.files.inspection import inspect

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
UNCOVERED = "it is of format 1, and no checksum covers what it says besides its tensors"


def test_files_are_told_each_and_the_first_fault_decides(run: Callable, memory: Path, tmp_path: Path) -> None:
    shutil.copy(memory, tmp_path / "copy")
    (tmp_path / "none").write_bytes(b"no")
    result = run("verify", memory, tmp_path / "none", tmp_path / "copy", tmp_path / "absent", "--json")
    assert result.exit_code == 4
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == ["error"] * 2
    found = json.loads(result.stdout)
    assert found.keys() == verify.JSON.keys()
    assert not found["valid"]
    assert [each["valid"] for each in found["files"]] == [True, False, True, False]
    whole, broken = found["files"][:2]
    assert whole == {
        "path": str(memory),
        "valid": True,
        "error": None,
        "exit_code": None,
        "kind": "memory",
        "format": 2,
        "sha256": inspect(memory).sha256,
        "file_bytes": memory.stat().st_size,
        "signed": False,
        "images": None,
        "low": None,
        "high": None,
    }
    assert broken["exit_code"] == 4
    assert "too short" in broken["error"]


def test_a_valid_file_is_told_in_a_line(run: Callable, memory: Path) -> None:
    sha256 = inspect(memory).sha256
    result = run("verify", memory, "--expect-sha256", sha256)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{memory}  valid: memory, format 2, sha256 {sha256}\n"
    full = run("verify", memory, "--full", "-q")
    assert full.exit_code == 0
    assert ", 12 images of values from -" in full.stdout
    other = run("verify", memory, "--expect-sha256", "0" * 64)
    assert (other.exit_code, other.stdout) == (4, f"{memory}  NOT VALID\n")
    assert f"its sha256 is {sha256}, and {'0' * 64} was expected" in other.stderr


@pytest.mark.parametrize("name", ["verify", "retrain"])
def test_a_checksum_for_each_file(run: Callable, memory: Path, tmp_path: Path, name: str) -> None:
    more = ("-o", tmp_path / "net", "-q") if name == "retrain" else ()
    sha256 = inspect(memory).sha256
    result = run(name, memory, memory, "--expect-sha256", sha256, *more)
    assert result.exit_code == 2
    assert "1 checksums were given for 2" in result.stderr
    assert result.stderr.endswith("Give --expect-sha256 once for each.\n")
    assert run(name, memory, "--expect-sha256", sha256, *more).exit_code == 0
    assert run(name, memory, "--expect-sha256", sha256[::-1], "--force", *more[:2]).exit_code in (2, 4)


def test_a_signature_is_of_one_file(run: Callable, memory: Path) -> None:
    result = run("verify", memory, memory, "--signature", "s", "--key", "k")
    assert result.exit_code == 2
    assert "one signature was given for 2 files. Leave out --signature, or give one file." in result.stderr


def test_what_is_signed_is_verified(run: Callable, memory: Path, tmp_path: Path) -> None:
    pytest.importorskip("OpenSSL", reason="the extra sign is not installed")
    pytest.importorskip("model_signing", reason="the extra sign is not installed")
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = ec.generate_private_key(ec.SECP384R1())
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    signed = run("sign", memory, "--key", private)
    assert signed.exit_code == 0
    assert signed.stdout.startswith(f"signature  {memory}.sig\n")
    assert run("verify", memory, "--key", public).stdout.endswith(", signed\n")
    (tmp_path / f"{memory.name}.sig").write_text("{}")
    refused = run("verify", memory, "--key", public)
    assert refused.exit_code == 4
    assert "is not a signature of it by" in refused.stderr


@pytest.mark.parametrize(
    "command",
    [("inspect",), ("verify",), ("recall", "-o", "OUT", "--format", "npz", "-q"), ("retrain", "-o", "OUT", "-q")],
)
def test_a_first_file_is_warned_of_once_and_in_json(run: Callable, tmp_path: Path, command: tuple[str, ...]) -> None:
    path = GOLDEN / "memory-v1.safetensors"
    words = [tmp_path / word if word == "OUT" else word for word in command]
    result = run(words[0], path, *words[1:], "--json")
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"memcli: warning: {path}: {UNCOVERED}: class names, mean, standard deviation")
    assert json.loads(result.stdout)["warnings"] == [line.removeprefix("memcli: warning: ")]


def test_the_checksum_of_an_old_file_is_compared_and_warned_of(run: Callable) -> None:
    path = GOLDEN / "memory-v1-float32-fixed.safetensors"
    sha256 = inspect(path).sha256
    assert "warnings" not in json.loads(run("inspect", path, "--json").stdout)
    result = run("inspect", path, "--expect-sha256", sha256)
    assert result.exit_code == 0
    assert re.search(f"sha256 of its tensors +{sha256}", result.stdout)
    assert "the sha256 of a file of format 1 covers its tensors, and not what it says besides" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("inspect", "FILE"),
        ("recall", "FILE", "-o", "OUT"),
        ("retrain", "FILE", "-o", "OUT"),
        ("eval", "FILE", "--data", "digits"),
        ("report", "FILE", "-o", "OUT.html"),
        ("card", "FILE", "-o", "OUT.md"),
        ("sign", "FILE", "--key", "KEY"),
        ("predict", "NETWORK", "IMAGE"),
        ("export", "NETWORK", "-o", "OUT.pt2"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_reads_a_file_refuses_another(
    run: Callable, memory: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    if command[0] == "sign":
        pytest.importorskip("OpenSSL", reason="the extra sign is not installed")
        pytest.importorskip("model_signing", reason="the extra sign is not installed")
    assert run("retrain", memory, "-o", tmp_path / "NETWORK", "-q").exit_code == 0
    memory.rename(tmp_path / "FILE")
    words = [tmp_path / word if word.isupper() or "OUT" in word else word for word in command]
    result = run(*words, "--expect-sha256", "0" * 64)
    assert result.exit_code == 4, result.stderr
    assert f"and {'0' * 64} was expected. Get the file that is meant, or find out who changed it." in result.stderr
    assert not list(tmp_path.glob("OUT*"))
