"""Every refusal of the generic part of docs/format.md, and that what is written is read back."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from memcli.errors import LimitError, MemoryFileError, UsageError
from memcli.files import container, headers

F32 = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
MANIFEST = '{"kind":"test"}'


def file(tmp_path: Path, header: Any = None, payload: bytes = bytes(24), *, raw: bytes | None = None) -> Path:
    """A file of that header, given as data or as raw bytes."""
    raw = json.dumps(header).encode() if raw is None else raw
    (tmp_path / "f").write_bytes(len(raw).to_bytes(8, "little") + raw + payload)
    return tmp_path / "f"


def with_manifest(**tensors: Any) -> dict[str, Any]:
    return {"__metadata__": {"memcli": MANIFEST}, **tensors}


def test_a_valid_header_is_read(tmp_path: Path) -> None:
    header = container.read_header(file(tmp_path, with_manifest(a=F32)))
    assert header.tensors == {"a": headers.Entry("F32", (2, 3), 0, 24)}
    assert header.manifest == {"kind": "test"}
    assert header.file_bytes == 8 + header.header_bytes + 24


def refused(path: Path, match: str) -> None:
    with pytest.raises(MemoryFileError, match=match) as found:
        container.read_header(path)
    assert str(path) in str(found.value)


def test_a_pointer_of_git_lfs_is_named_with_the_step_that_helps(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 119705255\n")
    with pytest.raises(MemoryFileError, match=r"a pointer of git-lfs, and not the file itself\. Run git lfs pull"):
        container.read_header(tmp_path / "f")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "one image"),
        (b"PK\x03\x04" + bytes(40), "a zip archive"),
        ("# Наши заметки\n".encode() * 99, "text"),
        (b"\xfe" * 8 + b"[]", "something else"),
    ],
)
def test_what_is_no_file_of_memcli_is_told_in_plain_words(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "f").write_bytes(content)
    refused(tmp_path / "f", rf"f is no file of memcli, but seems to be {what}\. Give a file that memcli wrote")


def test_a_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "f", "no such file")


def test_a_folder(tmp_path: Path) -> None:
    refused(tmp_path, "not a regular file")


def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "f")
    refused(tmp_path / "f", "not a regular file")


def test_a_device() -> None:
    refused(Path("/dev/zero"), "not a regular file")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    refused(tmp_path / "f" / "x", r"cannot be read \(Not a directory\)")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = file(tmp_path, with_manifest(a=F32))
    with pytest.raises(LimitError, match=r"f: the file is too large: \d+ bytes, where at most 100 are read"):
        container.read_header(path, file_bytes=100)
    with path.open("r+b") as sparse:
        sparse.truncate(2**30 + 1)
    with pytest.raises(LimitError, match="too large"):
        container.read_header(path)


@pytest.mark.parametrize("size", [0, 7])
def test_a_file_that_is_too_short(tmp_path: Path, size: int) -> None:
    (tmp_path / "f").write_bytes(bytes(size))
    refused(tmp_path / "f", f"too short: {size} bytes")


def test_a_header_beyond_the_end(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xff" * 8 + b"{}")
    refused(tmp_path / "f", "beyond the end of the file")


def test_a_header_over_one_megabyte(tmp_path: Path) -> None:
    refused(file(tmp_path, raw=b"{" + b" " * 1_000_000 + b"}"), "header of 1000002 bytes is too long")
    path = file(tmp_path, with_manifest(a=F32))
    with pytest.raises(MemoryFileError, match="too long: at most 20 are read"):
        container.read_header(path, header_bytes=20)


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"\xff{}", "the header is not valid JSON: .*utf-8"),
        (b"\xef\xbb\xbf{}", "the header is not valid JSON"),
        (b"PK\x03\x04", "the header is not valid JSON"),
        (b"", "the header is not valid JSON"),
        (b"[]", "the header is not a JSON object"),
        (b'{"a":1,"a":1}', "the header is not valid JSON: a key appears twice"),
        (b'{"a":{"b":1,"b":1}}', "the header is not valid JSON: a key appears twice"),
        (b'{"a":NaN}', "the header is not valid JSON: NaN is not a finite number"),
        (b'{"a":-Infinity}', "the header is not valid JSON: -Infinity is not a finite number"),
        (b'{"a":1e999}', "the header is not valid JSON: 1e999 is not a finite number"),
        (b'{"a":' + b"9" * 5000 + b"}", "the header is not valid JSON"),
        (b'{"a":"\\ud800"}', "the header is not valid JSON: .*surrogates not allowed"),
        (b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "the header is nested too deeply"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the header is nested too deeply"),
        (b'{"a":' * 100_000, "the header is nested too deeply"),
    ],
)
def test_a_header_that_is_not_strict_json(tmp_path: Path, raw: bytes, match: str) -> None:
    refused(file(tmp_path, raw=raw), match)


@pytest.mark.parametrize(
    "metadata",
    [None, {}, [], {"other": "x"}, {"memcli": MANIFEST, "format": "pt"}, {"memcli": {}}, {"memcli": None}],
)
def test_metadata_other_than_one_text(tmp_path: Path, metadata: Any) -> None:
    header = {"a": F32} if metadata is None else {"__metadata__": metadata, "a": F32}
    refused(file(tmp_path, header), "metadata is not one text under the key 'memcli'")


@pytest.mark.parametrize(
    ("manifest", "match"),
    [
        ("", "the manifest is not valid JSON"),
        ("3", "the manifest is not a JSON object"),
        ('{"a":1,"a":2}', "the manifest is not valid JSON: a key appears twice"),
        ('{"a":NaN}', "the manifest is not valid JSON: NaN"),
        ("[" * 5000 + "]" * 5000, "the manifest is nested too deeply"),
    ],
)
def test_a_manifest_that_is_not_strict_json(tmp_path: Path, manifest: str, match: str) -> None:
    refused(file(tmp_path, {"__metadata__": {"memcli": manifest}, "a": F32}), match)


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        (3, "is not described by"),
        ({"dtype": "F32", "shape": [2, 3]}, "is not described by"),
        (F32 | {"more": 1}, "is not described by"),
        (F32 | {"dtype": ["F32"]}, "malformed"),
        (F32 | {"shape": 6}, "malformed"),
        (F32 | {"shape": [2.0, 3]}, "malformed"),
        (F32 | {"shape": [True, 6]}, "malformed"),
        (F32 | {"shape": ["2", 3]}, "malformed"),
        (F32 | {"data_offsets": [0]}, "malformed"),
        (F32 | {"data_offsets": [False, 24]}, "malformed"),
        (F32 | {"dtype": "F64"}, "is of dtype 'F64', not of F32, F16, BF16, I64, U8, I8"),
        (F32 | {"dtype": "\x1b[31m"}, r"dtype '\\{1,2}x1b\[31m'"),
        (F32 | {"shape": [1] * 7 + [2, 3]}, "has 9 dimensions: at most 8"),
        (F32 | {"shape": [1_000_000_000, 0], "data_offsets": [0, 0]}, "a dimension of zero"),
        (F32 | {"shape": [-2, -3]}, "a dimension of zero"),
        (F32 | {"shape": [2**31]}, "a dimension of zero or beyond 2147483647"),
        (F32 | {"shape": [2, 2]}, "do not agree with its dtype and shape"),
        (F32 | {"dtype": "F16"}, "do not agree with its dtype and shape"),
        (F32 | {"shape": [2**31 - 1] * 8}, "do not agree with its dtype and shape"),
        (F32 | {"data_offsets": [24, 0]}, "do not agree with its dtype and shape"),
    ],
)
def test_a_bad_entry(tmp_path: Path, entry: Any, match: str) -> None:
    refused(file(tmp_path, with_manifest(a=entry)), f"tensor 'a'.* {match}|{match}")


def one(begin: int, end: int) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"a": one(0, 10), "b": one(12, 24)}, "a hole or an overlap before tensor 'b'"),
        ({"a": one(0, 14), "b": one(12, 24)}, "a hole or an overlap before tensor 'b'"),
        ({"a": one(0, 24), "b": one(0, 24)}, "a hole or an overlap before tensor 'b'"),
        ({"a": one(-24, 0)}, "a hole or an overlap before tensor 'a'"),
        ({"a": one(0, 23)}, "need 23 bytes, and 24 follow"),
        ({"a": one(0, 25)}, "need 25 bytes, and 24 follow"),
        ({}, "need 0 bytes, and 24 follow"),
    ],
)
def test_tensors_that_do_not_cover_the_payload(tmp_path: Path, tensors: dict[str, Any], match: str) -> None:
    refused(file(tmp_path, with_manifest(**tensors)), match)


def test_a_name_from_a_file_is_escaped(tmp_path: Path) -> None:
    refused(file(tmp_path, with_manifest(**{"\x1b[2J\u202e": 3})), r"tensor '\\+x1b\[2J\\+u202e'")


EXAMPLES = {
    "f32": torch.tensor([[1.5, -0.0], [torch.inf, torch.nan]]),
    "f16": torch.tensor([1.5], dtype=torch.float16),
    "bf16": torch.tensor([[1.5]], dtype=torch.bfloat16),
    "i64": torch.tensor([2**62, -1]),
    "u8": torch.tensor([0, 255, 7], dtype=torch.uint8),
    "i8": torch.tensor([-128], dtype=torch.int8),
    "a scalar": torch.tensor(3.0),
    "ünï/../x": torch.arange(6.0).reshape(2, 3).T,
}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    def raw(tensor: torch.Tensor) -> tuple[Any, ...]:
        return tensor.dtype, tensor.shape, tensor.contiguous().reshape(-1).view(torch.uint8).tolist()

    return {name: raw(tensor) for name, tensor in one.items()} == {name: raw(tensor) for name, tensor in other.items()}


def test_what_is_written_is_read_bit_for_bit(tmp_path: Path) -> None:
    sha256 = container.write(tmp_path / "f", EXAMPLES, {"kind": "test", "é": [1]}, force=False)
    manifest, tensors = container.read(tmp_path / "f", kind="test")
    assert manifest == {"format": 2, "kind": "test", "é": [1], "sha256": sha256}
    text = '{"format":2,"kind":"test","é":[1],"sha256":"' + sha256 + '"}'  # as docs/format.md says
    assert json.dumps(text, ensure_ascii=False).encode() in (tmp_path / "f").read_bytes()
    assert same(tensors, EXAMPLES)
    assert same(safetensors.torch.load_file(tmp_path / "f"), EXAMPLES)


def test_the_bytes_depend_on_the_values_only(tmp_path: Path) -> None:
    backwards = dict(reversed(list(EXAMPLES.items())))
    manifests = {"kind": "test", "b": 1, "a": 2}, {"a": 2, "b": 1, "kind": "test"}
    assert container.dumps(EXAMPLES, manifests[0]) == container.dumps(backwards, manifests[1])
    container.write(tmp_path / "f", EXAMPLES, manifests[0], force=False)
    assert (tmp_path / "f").read_bytes() == container.dumps(EXAMPLES, manifests[0])


def test_tensors_that_share_memory_are_written_each(tmp_path: Path) -> None:
    tied = torch.arange(6.0)
    container.write(tmp_path / "f", {"a": tied, "b": tied, "c": tied[2:]}, {"kind": "test"}, force=False)
    tensors = container.read(tmp_path / "f", kind="test")[1]
    assert same(tensors, {"a": tied, "b": tied, "c": tied[2:]})
    tensors["a"].zero_()
    assert torch.equal(tensors["b"], tied)


def test_the_checksum_is_what_the_page_says() -> None:
    tensors = {"b": torch.tensor([[1, 2]], dtype=torch.uint8), "a": torch.tensor([1.0])}
    covered = b'{"format":2,"kind":"test"}\n["a","F32",[1]]\n\x00\x00\x80\x3f["b","U8",[1,2]]\n\x01\x02'
    expected = hashlib.sha256(covered).hexdigest()
    assert f'\\"sha256\\":\\"{expected}\\"}}'.encode() in container.dumps(tensors, {"kind": "test"})


def test_another_kind(tmp_path: Path) -> None:
    container.write(tmp_path / "f", EXAMPLES, {"kind": "net\x1bwork"}, force=False)
    with pytest.raises(
        MemoryFileError, match=r"not a memory file, but one of kind 'net\\+x1bwork'.* Give a memory file"
    ):
        container.read(tmp_path / "f", kind="memory")


def test_a_payload_that_was_changed(tmp_path: Path) -> None:
    container.write(tmp_path / "f", EXAMPLES, {"kind": "test"}, force=False)
    data = bytearray((tmp_path / "f").read_bytes())
    data[-1] ^= 1
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(MemoryFileError, match="f: the checksum does not match"):
        container.read(tmp_path / "f", kind="test")


@pytest.mark.parametrize("change", [(b'\\"rate\\":0.25', b'\\"rate\\":0.26'), (b'\\"rate\\"', b'\\"late\\"')])
def test_a_changed_manifest_is_found(tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    data = container.dumps({"a": torch.ones(1)}, {"kind": "test", "inner": {"rate": 0.25}})
    assert change[0] in data
    (tmp_path / "f").write_bytes(data.replace(*change))
    with pytest.raises(MemoryFileError, match="f: the checksum does not match: this is not what was written"):
        container.read(tmp_path / "f", kind="test")


def test_a_manifest_without_a_checksum(tmp_path: Path) -> None:
    with pytest.raises(MemoryFileError, match="the checksum does not match"):
        container.read(file(tmp_path, with_manifest(a=F32)), kind="test")


@pytest.mark.parametrize("change", ["shorter", "longer"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    container.write(tmp_path / "f", EXAMPLES, {"kind": "test"}, force=False)
    size = (tmp_path / "f").stat().st_size + {"shorter": -1, "longer": 1}[change]

    def read_while_it_changes() -> None:
        with container.opened(tmp_path / "f") as found:
            os.truncate(tmp_path / "f", size)
            found.payload()

    with pytest.raises(MemoryFileError, match="f: the file changed while it was read"):
        read_while_it_changes()


def test_an_error_of_the_disk_while_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container.write(tmp_path / "f", EXAMPLES, {"kind": "test"}, force=False)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        with pytest.raises(MemoryFileError, match=r"cannot be read \(Input/output error\)"):
            container.read_header(tmp_path / "f")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bool, torch.int32, torch.complex64])
def test_other_dtypes_are_not_written(dtype: torch.dtype) -> None:
    with pytest.raises(UsageError, match=rf"tensor 'a' of {dtype} cannot be stored.* Convert it to one of float32"):
        container.dumps({"a": torch.zeros(1, dtype=dtype)}, {})


@pytest.mark.parametrize(
    ("tensor", "manifest", "match"),
    [
        (torch.zeros(3, 0), {}, "no reader would accept this file: tensor 'a' has a dimension of zero"),
        (torch.zeros([1] * 9), {}, "no reader would accept this file: tensor 'a' has 9 dimensions"),
        (torch.zeros(1), {"long": "x" * 10**6}, r"no reader would accept this file: its header .* is too long"),
        (torch.zeros(1), {"bad": float("nan")}, "cannot be stored as JSON"),
        (torch.zeros(1), {"bad": {1, 2}}, "cannot be stored as JSON"),
        (torch.zeros(1), {"bad": "\udcff"}, "cannot be stored as JSON"),
    ],
)
def test_what_no_reader_would_accept_is_not_written(tensor: torch.Tensor, manifest: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        container.dumps({"a": tensor}, manifest)


def test_a_header_is_read_without_torch(tmp_path: Path) -> None:
    path = file(tmp_path, with_manifest(a=F32))
    code = "import sys, memcli.files.container as t; t.read_header(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
