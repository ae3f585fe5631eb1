"""Files made to do harm: each is refused with a message of its own, by both readers, and without much memory."""

import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memcli.artifact.files import read
from memcli.artifact.inspection import inspect
from memcli.artifact.validation import DEFAULT_LIMITS, Limits
from memcli.errors import LimitError, MemcliError, MemoryFileError

Json = dict[str, Any]
Rebuild = Callable[..., Path]
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
    "newer format": (lambda _, manifest: manifest.update(format=2), r"newer memcli \(format 2\)"),
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
    "no checksum": (lambda _, manifest: manifest.pop("sha256"), "the checksum does not match"),
}


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
    refused(reader, rebuilt(change, payload), MemoryFileError, match)


def test_what_the_attacks_change_is_valid_otherwise(rebuilt: Rebuild, reader: Callable[..., object]) -> None:
    reader(rebuilt(lambda *_: None))


def huge_recall(header: Json, manifest: Json) -> None:
    """120 bytes of payload that recall 8 images of 4096x4096."""
    manifest["data"].update(height=4096, width=4096)
    manifest["memory"].update(scale=2048)
    header["bases"] = {"dtype": "F32", "shape": [3, 2, 2, 2], "data_offsets": [0, 96]}
    header["addresses"]["data_offsets"] = [96, 192]


def test_a_recall_over_the_limit(rebuilt: Rebuild, reader: Callable[..., object]) -> None:
    path = rebuilt(huge_recall, bytes(192))
    needed = 8 * 4 * (2 * 4096 * 4096 + 2)
    refused(reader, path, LimitError, f"recall of {needed} bytes is over the limit", Limits(recall_bytes=needed - 1))
    refused(reader, path, MemoryFileError, "checksum", Limits(recall_bytes=needed))


def test_more_images_than_the_limit(rebuilt: Rebuild, reader: Callable[..., object]) -> None:
    path = rebuilt(lambda *_: None)
    refused(reader, path, LimitError, "recall of 8 images is over the limit of 7", Limits(images=7))
    reader(path, Limits(images=8))


def test_the_label_vectors_count(rebuilt: Rebuild, reader: Callable[..., object]) -> None:
    """Many classes and tiny images: the labels are what is large."""

    def change(header: Json, manifest: Json) -> None:
        manifest["data"].update(classes=[str(number) for number in range(50_000)], channels=1, height=1, width=1)
        manifest["data"].update(mean=[0.0], std=[1.0])
        manifest["memory"].update(bases=1, scale=1, rows=1)
        header["bases"] = {"dtype": "F32", "shape": [1, 1, 1, 1], "data_offsets": [0, 4]}
        header["addresses"] = {"dtype": "F32", "shape": [1, 50_000, 1], "data_offsets": [4, 200_004]}

    path = rebuilt(change, bytes(200_004))
    refused(reader, path, LimitError, f"recall of {4 * 50_000 * 50_001} bytes is over the limit")


def test_the_size_of_the_file_and_of_its_header(rebuilt: Rebuild, reader: Callable[..., object]) -> None:
    path = rebuilt(lambda *_: None)
    refused(reader, path, LimitError, "the file is too large", Limits(file_bytes=os.path.getsize(path) - 1))
    refused(reader, path, MemoryFileError, "header of .* bytes is too long", Limits(header_bytes=100))


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


def test_the_refusals_before_a_tensor_is_read(
    rebuilt: Rebuild, reader: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong manifest is refused although the payload is damaged too: the payload has not been looked at."""
    monkeypatch.setattr("memcli.tensorfile.OpenFile.payload", lambda _: pytest.fail("a tensor was read"))
    refused(reader, rebuilt(put("memory", "rows", 5), bytes(PAYLOAD_BYTES)), MemoryFileError, "addresses is of shape")
