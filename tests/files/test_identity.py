"""The checksum of a file: over all that it says, expected by those who noted it, and what is told of old files."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memcli.errors import MemoryFileError, UsageError
from memcli.files import container, identity, memoryfile
from memcli.files.identity import MemoryFileWarning
from memcli.files.inspection import inspect
from memcli.files.memoryfile import Artifact

Rebuild = Callable[..., Path]
V1, SEALED_V1 = "memory-v1.safetensors", "memory-v1-float32-fixed.safetensors"
TODAY = "memory-v2-float32-fixed.safetensors"
UNCOVERED = "it is of format 1, and no checksum covers what it says besides its tensors: class names, mean"
TENSORS_ONLY = "the sha256 of a file of format 1 covers its tensors, and not what it says besides: class names, mean"


@pytest.fixture(params=[memoryfile.read, inspect], ids=["read", "inspect"])
def reader(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param


@pytest.fixture
def golden() -> Callable[[str], Path]:
    return lambda name: Path(__file__).resolve().parents[1] / "golden" / name


@pytest.mark.parametrize("change", [str, str.upper, " {} ".format])
def test_the_checksum_that_was_noted_is_expected(
    reader: Callable[..., Any], golden: Callable[[str], Path], change: Callable[[str], str]
) -> None:
    sha256 = inspect(golden(TODAY)).sha256
    assert reader(golden(TODAY), expect_sha256=change(sha256)).sha256 == sha256


@pytest.mark.parametrize("expected", ["0" * 64, "", "abc", "\x1b[2J"])
def test_another_checksum_is_refused(reader: Callable[..., Any], golden: Callable[[str], Path], expected: str) -> None:
    path, sha256 = golden(TODAY), inspect(golden(TODAY)).sha256
    with pytest.raises(MemoryFileError) as refused:
        reader(path, expect_sha256=expected)
    shown = expected.replace("\x1b", "\\x1b")
    assert str(refused.value) == (
        f"{path}: its sha256 is {sha256}, and {shown} was expected. "
        "Get the file that is meant, or find out who changed it."
    )


def test_a_first_file_is_read_with_a_warning(reader: Callable[..., Any], golden: Callable[[str], Path]) -> None:
    with pytest.warns(MemoryFileWarning, match=UNCOVERED) as told:
        reader(golden(V1))
    assert len(told) == 1
    assert str(told[0].message).startswith(f"{golden(V1)}: ")


def test_the_checksum_of_an_old_file_is_still_that_of_its_tensors(
    reader: Callable[..., Any], golden: Callable[[str], Path]
) -> None:
    """So that a pipeline that noted it goes on; and is told what it does not compare."""
    noted = "cc162fbd7d9aaad54c40e933440765c0978e2adece921ffc93bf299b508c2a3a"
    for name, message in ((V1, UNCOVERED), (SEALED_V1, TENSORS_ONLY)):
        with pytest.warns(MemoryFileWarning, match=message) as told:
            assert reader(golden(name), expect_sha256=noted).sha256 == noted
        assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reader(golden(SEALED_V1))


def first(manifest: dict[str, Any]) -> None:
    """Make the manifest one of the first format, which had no seal."""
    manifest["format"] = 1
    del manifest["memory"]["labels"]


def test_a_file_that_was_written_back_as_an_old_one_is_noticed(reader: Callable[..., Any], rebuilt: Rebuild) -> None:
    sha256 = reader(rebuilt(lambda *_: None)).sha256

    def downgraded(_: object, manifest: dict[str, Any]) -> None:
        first(manifest)
        manifest["data"]["classes"].reverse()
        manifest["provenance"]["licence"] = "mine"

    path = rebuilt(downgraded)
    with pytest.warns(MemoryFileWarning, match=UNCOVERED):
        reader(path)
    with pytest.raises(MemoryFileError, match=f"its sha256 is .*, and {sha256} was expected"):
        reader(path, expect_sha256=sha256)

    def sealed(header: object, manifest: dict[str, Any]) -> None:
        downgraded(header, manifest)
        manifest["memory"]["labels"], manifest["manifest_sha256"] = "fixed", "to be made"

    with pytest.raises(MemoryFileError, match=f"its sha256 is .*, and {sha256} was expected"):
        reader(rebuilt(sealed), expect_sha256=sha256)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda _, manifest: manifest.update(format=1), "the manifest has no manifest_sha256, which a file with"),
        (lambda _, manifest: first(manifest), "the checksum does not match: the tensors are not those"),
        (lambda _, manifest: manifest.pop("format"), "the checksum does not match|format is not a whole number"),
        (lambda _, manifest: manifest.pop("sha256"), "its manifest does not end in a sha256"),
        (lambda _, manifest: manifest.update(sha256=3), "its manifest does not end in a sha256"),
        (lambda _, manifest: manifest.update(sha256="A" * 64), "its manifest does not end in a sha256"),
        (lambda _, manifest: manifest.update(manifest_sha256="0" * 64), "its manifest does not end in a sha256"),
    ],
)
def test_a_downgrade_that_makes_no_checksums_is_refused(
    reader: Callable[..., Any], rebuilt: Rebuild, change: Callable[..., object], match: str
) -> None:
    with pytest.raises(MemoryFileError, match=match):
        reader(rebuilt(change, seal=False))


def test_what_a_newer_memcli_wrote_is_told_as_that(make: Callable[..., Artifact], tmp_path: Path) -> None:
    artifact = make()
    container.write(tmp_path / "f", artifact.memory.parts, {**artifact.manifest.to_json(), "format": 4}, force=False)
    with pytest.raises(
        identity.NewerFormatError, match=r"f: this file was written by a newer memcli \(format 4\)\. Upg"
    ):
        container.read(tmp_path / "f", kind="memory")


@pytest.mark.parametrize("name", ["sha256", "manifest_sha256"])
def test_a_manifest_that_tells_of_its_checksum_is_not_written(name: str) -> None:
    with pytest.raises(UsageError, match=r"a manifest tells of its own checksum\. Leave that to the writer"):
        container.dumps({}, {"kind": "test", name: "0" * 64})
