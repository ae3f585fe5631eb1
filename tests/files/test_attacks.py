"""Files made to do harm: each is refused with a message of its own, by both readers, and without much memory."""

import os
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from memcli.errors import LimitError, MemcliError, MemoryFileError
from memcli.files.inspection import inspect
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.memoryfile import Artifact, read, write
from memcli.memory.memory import Memory

Json = dict[str, Any]
Rebuild = Callable[..., Path]
INT8, INT4 = "memory-v2-int8-row.safetensors", "memory-v2-int4-class.safetensors"
PAYLOAD_BYTES = 4 * (3 * 2 * 2 * 3 + 4 * 2 * 3)


def put(part: str, key: str, value: Any) -> Callable[[Json, Json], None]:
    """Set one value of a part of the manifest."""
    return lambda _, manifest: manifest[part].update({key: value})


def shape_of(name: str, shape: list[int]) -> Callable[[Json, Json], None]:
    return lambda header, _: header[name].update({"shape": shape})


def rename(old: str, new: str) -> Callable[[Json, Json], None]:
    return lambda header, _: header.update({new: header.pop(old)})


def half_as_large(header: Json, _: Json) -> None:
    """The same bytes as twice as many float16."""
    for entry in header.values():
        entry["dtype"] = "F16"
        entry["shape"] = [2 * entry["shape"][0], *entry["shape"][1:]]


def zero_dimension(header: Json, manifest: Json) -> None:
    """200 bytes that ask for 10⁹ images a class: addresses of no bytes."""
    header["bases"] = {"dtype": "F32", "shape": [1, 2, 2, 3], "data_offsets": [0, 48]}
    header["addresses"] = {"dtype": "F32", "shape": [1_000_000_000, 2, 0], "data_offsets": [48, 48]}
    manifest["memory"]["rows"] = 1_000_000_000


def extra_tensor(header: Json, _: Json) -> None:
    header["\x1b[2Jlabels"] = {"dtype": "U8", "shape": [4], "data_offsets": [PAYLOAD_BYTES, PAYLOAD_BYTES + 4]}


def twice_the_scale(_: Json, manifest: Json) -> None:
    manifest["data"].update(height=8192, width=12288)
    manifest["memory"]["scale"] = 4096


ATTACKS: dict[str, tuple[Callable[[Json, Json], object], str]] = {
    "another kind": (lambda _, manifest: manifest.update(kind="network"), "not a memory file"),
    "newer format": (lambda _, manifest: manifest.update(format=4), r"newer memcli \(format 4\)"),
    "zero dimension": (zero_dimension, "a dimension of zero"),
    "missing": (rename("bases", "addresses2"), "the tensors bases are missing"),
    "extra": (extra_tensor, r"tensors that no memory has: \\x1b\[2Jlabels"),
    "dtype": (half_as_large, "addresses is F16, where|bases is F16, where storage float32 means F32"),
    "integers": (
        lambda header, _: [
            entry.update(dtype="U8", shape=[4 * entry["shape"][0], *entry["shape"][1:]]) for entry in header.values()
        ],
        "bases is U8, where storage float32 means F32",
    ),
    "rank": (shape_of("bases", [3, 2, 6]), "bases has 3 dimensions, not 4"),
    "shape": (
        shape_of("bases", [2, 3, 2, 3]),
        r"bases is of shape \(2, 3, 2, 3\), where the manifest means \(3, 2, 2, 3\)",
    ),
    "rows": (put("memory", "rows", 10**18), r"addresses is of shape \(4, 2, 3\)"),
    "classes": (put("data", "classes", [str(number) for number in range(100)]), "addresses is of shape"),
    "side": (put("data", "height", 10**9), "impossible: a data set with height 1000000000"),
    "enlarging": (twice_the_scale, "impossible: a data set with height 8192"),
    "text": (put("data", "height", "4"), "data.height is not a whole number"),
    "path": (put("data", "channels", True), "data.channels is not a whole number"),
    "checksum": (lambda _, manifest: manifest.update(sha256="0" * 64), "the checksum does not match"),
    "no checksum": (lambda _, manifest: manifest.pop("sha256"), "its manifest does not end in a sha256"),
    "a checksum elsewhere": (
        lambda _, manifest: manifest.update(sha256=manifest.pop("sha256"), z=1),
        "its manifest does not end in a sha256",
    ),
}


def payload_of(changes: dict[str, Callable[[bytes], bytes]]) -> Callable[[Json, bytes], bytes]:
    """The payload with the bytes of some tensors changed."""

    def change(header: Json, old: bytes) -> bytes:
        for name, how in changes.items():
            begin, end = header[name]["data_offsets"]
            old = old[:begin] + how(old[begin:end]) + old[end:]
        return old

    return change


def half(value: float) -> Callable[[bytes], bytes]:
    """The first float16 of a tensor replaced."""
    return lambda raw: struct.pack("<e", value) + raw[2:]


QUANTISED_HEADERS: dict[str, tuple[str, Callable[[Json, Json], object], str]] = {
    "no scales": (INT8, rename("bases_scale", "bases_scales"), "the tensors bases_scale are missing"),
    "no labels": (INT8, rename("labels", "label"), "the tensors labels are missing"),
    "labels that the manifest denies": (INT4, put("memory", "labels", "fixed"), "no memory has: labels, labels_scale"),
    "labels of another kind": (INT4, put("memory", "labels", "row"), r"labels is of shape \(2,\), where .* \(8,\)"),
    "scales of floats": (INT8, put("memory", "storage", "float32"), "no memory has: addresses_scale, bases_scale"),
    "one scale too few": (
        INT8,
        lambda header, _: (
            header["bases_scale"].update(shape=[2]),
            header["addresses_scale"].update(shape=[4]),
            _moved(header, "bases_scale", "addresses_scale"),
        ),
        r"(bases|addresses)_scale is of shape \([24],\), where the manifest means \(3,\)",
    ),
    "a scale of scales": (INT8, shape_of("bases_scale", [3, 1]), "bases_scale has 2 dimensions, not 1"),
    "whole scales": (INT8, lambda header, _: header["bases_scale"].update(dtype="I8", shape=[6]), "bases_scale is I8"),
    "unsigned codes": (INT8, lambda header, _: header["bases"].update(dtype="U8"), "bases is U8, where storage int8"),
    "signed half bytes": (
        INT4,
        lambda header, _: header["bases"].update(dtype="I8"),
        "bases is I8, where storage int4",
    ),
    "a packed length": (INT4, put("memory", "rows", 5), r"addresses is of shape \(12,\), where .* \(15,\)"),
    "codes that are not packed": (INT4, shape_of("bases", [3, 2, 1, 3]), "bases has 4 dimensions, not 1"),
}
QUANTISED_PAYLOADS: dict[str, tuple[str, dict[str, Callable[[bytes], bytes]], str]] = {
    "zero scale": (INT8, {"bases_scale": half(0.0)}, "bases_scale holds scales below 6.1"),
    "negative scale": (INT8, {"labels_scale": half(-1.0)}, "labels_scale holds scales below"),
    "tiny scale": (INT4, {"addresses_scale": half(2.0**-15)}, "addresses_scale holds scales below"),
    "scale that is no number": (
        INT8,
        {"bases_scale": half(float("nan"))},
        "bases_scale holds numbers that are not finite",
    ),
    "endless scale": (INT4, {"bases_scale": half(float("inf"))}, "bases_scale holds numbers that are not finite"),
    "code beyond the levels": (INT8, {"addresses": lambda raw: b"\x80" + raw[1:]}, "addresses holds the code -128"),
    "half byte of no code": (INT4, {"bases": lambda raw: bytes([raw[0] & 15]) + raw[1:]}, "bases holds half bytes"),
    "other code": (INT8, {"bases": lambda raw: bytes([raw[0] ^ 2]) + raw[1:]}, "the checksum does not match"),
}


def _moved(header: Json, first: str, second: str) -> None:
    """Move the border of two tensors that lie side by side, so that the header itself stays sound."""
    one, two = sorted((header[first], header[second]), key=lambda entry: entry["data_offsets"][0])
    small, large = (one, two) if one["shape"] < two["shape"] else (two, one)
    border = one["data_offsets"][0] + 2 * one["shape"][0]
    assert one["data_offsets"][1] == two["data_offsets"][0]
    assert small["shape"][0] * 2 + large["shape"][0] * 2 == two["data_offsets"][1] - one["data_offsets"][0]
    one["data_offsets"][1] = two["data_offsets"][0] = border


@pytest.fixture(params=[read, inspect], ids=["read", "inspect"])
def reader(request: pytest.FixtureRequest) -> Callable[..., object]:
    return request.param


def refused(
    reader: Callable[..., object], path: Path, error: type[MemcliError], match: str, limits: Limits = DEFAULT_LIMITS
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(error, match=match) as found:
            reader(path, limits)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert str(found.value).startswith(str(path))
    assert "\x1b" not in str(found.value)


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks(rebuilt: Rebuild, reader: Callable[..., object], name: str) -> None:
    change, match = ATTACKS[name]
    payload = bytes({"zero dimension": 48, "extra": PAYLOAD_BYTES + 4}.get(name, PAYLOAD_BYTES))
    refused(reader, rebuilt(change, payload, seal="checksum" not in name), MemoryFileError, match)


def test_what_the_attacks_change_is_valid_otherwise(rebuilt: Rebuild, reader: Callable[..., object]) -> None:
    reader(rebuilt(lambda *_: None))


@pytest.mark.parametrize("name", QUANTISED_HEADERS)
def test_attacks_on_quantised_headers(
    rebuilt: Rebuild, reader: Callable[..., object], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden, change, match = QUANTISED_HEADERS[name]
    monkeypatch.setattr("memcli.files.container.OpenFile.payload", lambda _: pytest.fail("a tensor was read"))
    refused(reader, rebuilt(change, golden=golden), MemoryFileError, match)


@pytest.mark.parametrize("name", QUANTISED_PAYLOADS)
def test_attacks_on_quantised_numbers(rebuilt: Rebuild, reader: Callable[..., object], name: str) -> None:
    golden, changes, match = QUANTISED_PAYLOADS[name]
    path = rebuilt(lambda *_: None, payload_of(changes), golden=golden, seal=name != "other code")
    refused(reader, path, MemoryFileError, match)


def test_a_last_half_byte_that_is_not_empty(rebuilt: Rebuild, reader: Callable[..., object]) -> None:
    """15 codes of three bases of 1x1x5 end in the low half of a byte; the high half must be zero."""

    def odd(header: Json, manifest: Json) -> None:
        manifest["data"].update(channels=1, height=1, width=5, mean=[0.0], std=[1.0])
        manifest["memory"].update(scale=1)
        begin, end = header["bases"]["data_offsets"]
        header["bases"].update(shape=[8])
        cut.extend((begin, end))
        for entry in header.values():
            entry["data_offsets"] = [at - (end - begin - 8) * (at >= end) for at in entry["data_offsets"]]

    cut: list[int] = []
    for last in (0x11, 0x01):
        cut.clear()
        path = rebuilt(odd, lambda _, old: old[: cut[0]] + b"\x11" * 7 + bytes([last]) + old[cut[1] :], golden=INT4)  # noqa: B023
        if last == 0x11:
            refused(reader, path, MemoryFileError, "bases holds half bytes")
    reader(path)


@pytest.mark.parametrize("golden", [INT8, INT4])
def test_quantised_files_are_valid_otherwise(rebuilt: Rebuild, reader: Callable[..., object], golden: str) -> None:
    reader(rebuilt(lambda *_: None, golden=golden))


def test_a_recall_over_the_limit(make: Callable[..., Artifact], tmp_path: Path) -> None:
    """The file is small and is read; what it recalls is counted when it is asked for."""
    path = tmp_path / "f"
    artifact = make()
    data = replace(artifact.spec.data, height=4096, width=4096)
    spec = replace(artifact.spec, data=data, scale=2048)
    memory = Memory(spec, torch.ones(spec.shapes["bases"]), artifact.memory.addresses)
    write(path, Artifact(memory, replace(artifact.manifest, spec=spec)), force=False)
    needed = 8 * 4 * (2 * 4096 * 4096 + 2)
    with pytest.raises(LimitError, match=f"its recall needs {needed:,} bytes, and {needed - 1:,} are allowed"):
        read(path).recall(limits=Limits(max_bytes=needed - 1))
    with pytest.raises(LimitError, match=f"its recall needs {needed // 2:,} bytes"):
        read(path).recall("cat", limits=Limits(max_bytes=10**6))


def test_more_images_than_the_limit(rebuilt: Rebuild, reader: Callable[..., object]) -> None:
    path = rebuilt(lambda *_: None)
    refused(reader, path, LimitError, "it recalls 8 images, and 7 are allowed", Limits(max_images=7))
    reader(path, Limits(max_images=8))


def test_the_size_of_the_file_and_of_its_header(rebuilt: Rebuild, reader: Callable[..., object]) -> None:
    path = rebuilt(lambda *_: None)
    refused(reader, path, LimitError, "the file is too large", Limits(max_file=os.path.getsize(path) - 1))
    refused(reader, path, MemoryFileError, "header of .* bytes is too long", Limits(max_header=100))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite(rebuilt: Rebuild, reader: Callable[..., object], number: float) -> None:
    """Before the checksum, so that a file which is honest about its NaN is refused as well."""
    payload = bytes(PAYLOAD_BYTES - 4) + struct.pack("<f", number)
    refused(
        reader,
        rebuilt(lambda *_: None, payload),
        MemoryFileError,
        r"(bases|addresses) holds numbers that are not finite",
    )


@pytest.mark.parametrize("number", [3e38, -2e9])
def test_numbers_that_are_absurd(rebuilt: Rebuild, reader: Callable[..., object], number: float) -> None:
    payload = bytes(PAYLOAD_BYTES - 4) + struct.pack("<f", number)
    refused(
        reader, rebuilt(lambda *_: None, payload), MemoryFileError, r"(bases|addresses) holds numbers beyond 1e\+09"
    )


def test_the_refusals_before_a_tensor_is_read(
    rebuilt: Rebuild, reader: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong manifest is refused although the payload is damaged too: the payload has not been looked at."""
    monkeypatch.setattr("memcli.files.container.OpenFile.payload", lambda _: pytest.fail("a tensor was read"))
    refused(reader, rebuilt(put("memory", "rows", 5), bytes(PAYLOAD_BYTES)), MemoryFileError, "addresses is of shape")
