"""Memory files: golden bytes, exact round trips, and what is not written."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memcli import seeds
from memcli.data.spec import DataSpec
from memcli.errors import DivergedError, ExistsError, LimitError, MemoryFileError, UsageError
from memcli.files import memoryfile
from memcli.files.container import dumps, read_header
from memcli.files.inspection import inspect
from memcli.files.manifest import Manifest
from memcli.files.memoryfile import Artifact
from memcli.memory.memory import Memory, Query
from memcli.memory.query import pixels
from memcli.memory.spec import LABELS, MemorySpec
from memcli.memory.storage import STORAGES
from memcli.training.recipe import TrainRecipe

ROOT = Path(__file__).resolve().parents[2]
PAGE, GOLDEN = ROOT / "docs" / "format.md", ROOT / "tests" / "golden" / "memory-v2-float32-fixed.safetensors"


def not_enlarged(spec: MemorySpec) -> MemorySpec:
    """The spec of the same memory, if images were as their bases are."""
    _, height, width = spec.base_shape
    return replace(spec, data=replace(spec.data, height=height, width=width), scale=1)


def equal(one: Memory, other: Memory) -> bool:
    tensors = (memory.parts.values() for memory in (one, other))
    if one.support is not None and not torch.equal(one.support, other.support):
        return False
    return one.spec == other.spec and all(
        torch.equal(*pair) and pair[0].dtype == pair[1].dtype for pair in zip(*tensors, strict=True)
    )


def blocks() -> list[str]:
    """The two programs of the page: one checks a file, one reads it."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def today(golden: Path) -> bytes:
    """The golden file of today's format with the same content."""
    return golden.with_name(golden.name.replace("-v1-", "-v2-")).read_bytes()


def test_writing_today_gives_the_golden_bytes(written: tuple[Path, Artifact], tmp_path: Path) -> None:
    path, artifact = written
    memoryfile.write(tmp_path / "f", artifact, force=False)
    assert (tmp_path / "f").read_bytes() == path.read_bytes()


def test_the_golden_file_is_read_for_ever(golden: tuple[Path, Artifact]) -> None:
    path, artifact = golden
    read = memoryfile.read(path)
    assert read.manifest == artifact.manifest
    assert equal(read.memory, artifact.memory)
    everything = Query.everything(read.memory.spec)
    images = read.memory.recall(everything)
    assert images.shape == (8, 2, 4, 6)
    spec = read.memory.spec
    error = {"int8": 0.003, "int4": 0.16}.get(spec.storage, 1e-6)  # of rounding
    recorded = torch.tensor(
        [1.567626953125, 1.09130859375, 0.138671875, -0.52423095703125, -0.89739990234375, -1.083984375]
    )
    torch.testing.assert_close(images[5, 1, 2], recorded, rtol=0.0, atol=error)  # row 1 of class 1
    total = {"int8": 561.1817, "int4": 635.4833}.get(spec.storage, 559.6267)
    torch.testing.assert_close(images.double().square().sum().item(), total, rtol=1e-6, atol=0.0)
    label = {
        "fixed": [0.0, 1.0],
        "float16": [0.75, -1.25],
        "int8": [-0.936859130859375, 0.219757080078125],
        "int4": [0.71435546875, -1.2501220703125],
    }["fixed" if spec.labels == "fixed" else spec.storage]
    assert read.memory.targets(everything)[5].tolist() == label


def test_the_page_tells_how_to_read_a_file_with_numpy(
    golden: tuple[Path, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, artifact = golden
    (tmp_path / "memory.safetensors").write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    _, block = blocks()
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["manifest"]["seed"] == artifact.manifest.seed
    assert names["tensors"].keys() == artifact.memory.parts.keys()
    for name, part in artifact.memory.parts.items():
        assert numpy.array_equal(names["tensors"][name], part)
    spec = not_enlarged(artifact.spec)
    small = Memory(spec, **artifact.memory.parts).recall(Query.everything(spec))
    numpy.testing.assert_allclose(names["images"].reshape(small.shape), small, rtol=2e-3)


@pytest.mark.parametrize("name", [path.name for path in GOLDEN.parent.glob("memory-v[23]*")])
def test_the_page_tells_how_to_check_a_file_without_memcli(name: str, tmp_path: Path) -> None:
    check, _ = blocks()
    assert len(check.strip().splitlines()) <= 15
    data = (GOLDEN.parent / name).read_bytes()
    other = data.replace(b"cat", b"dog")
    assert other != data
    for content, verdict in ((data, "valid"), (other, "NOT VALID"), (data[:-1] + b"\x7f", "NOT VALID")):
        (tmp_path / "memory.safetensors").write_bytes(content)
        command = [sys.executable, "-I", "-c", check]
        printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split(
            maxsplit=1
        )
        assert printed[1].strip() == verdict
        assert (printed[0] == inspect(GOLDEN.parent / name).sha256) == (verdict == "valid")


def test_a_memory_on_cells_is_read_and_written_as_the_golden_file_is(
    celled: tuple[Path, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, artifact = celled
    (tmp_path / "memory.safetensors").write_bytes(path.read_bytes())
    memoryfile.write(tmp_path / "again", artifact, force=False)
    assert (tmp_path / "again").read_bytes() == today(path)
    read = memoryfile.read(path)
    assert read.manifest == artifact.manifest
    assert equal(read.memory, artifact.memory)
    assert torch.equal(read.memory.cells, artifact.memory.cells)
    monkeypatch.chdir(tmp_path)
    _, block = blocks()
    names: dict[str, Any] = {}
    exec(block, names)
    images = read.memory.recall(Query.everything(read.memory.spec))
    numpy.testing.assert_allclose(names["images"].reshape(images.shape), images, rtol=1e-4, atol=1e-5)


def test_cells_that_no_writer_writes_are_refused(celled: tuple[Path, Artifact], rebuilt: Callable[..., Path]) -> None:
    path, _ = celled

    def raised(header: dict[str, Any], old: bytes) -> bytes:
        at = header["cells"]["data_offsets"][0]
        return old[:at] + bytes([7]) + old[at + 1 :]

    with pytest.raises(MemoryFileError, match="cells holds numbers of cells that do not exist"):
        memoryfile.read(rebuilt(lambda *_: None, raised, path.name))
    with pytest.raises(MemoryFileError, match="the tensors cells are missing"):
        memoryfile.read(rebuilt(lambda _, manifest: manifest["memory"].update(scale=1, cells=7)))
    with pytest.raises(MemoryFileError, match="tensors that no memory has: cells"):
        memoryfile.read(rebuilt(lambda _, manifest: manifest["memory"].pop("cells"), golden=path.name))
    with pytest.raises(MemoryFileError, match="impossible: 300 cells"):
        memoryfile.read(rebuilt(lambda _, manifest: manifest["memory"].update(cells=300), golden=path.name))


def test_a_memory_of_sparse_addresses_is_read_and_written_as_the_golden_file_is(
    sparse: tuple[Path, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, artifact = sparse
    (tmp_path / "memory.safetensors").write_bytes(path.read_bytes())
    memoryfile.write(tmp_path / "again", artifact, force=False)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    assert inspect(path).format == 3
    read = memoryfile.read(path)
    assert read.manifest == artifact.manifest
    assert equal(read.memory, artifact.memory)
    assert read.memory.support.tolist() == artifact.memory.support.tolist()
    monkeypatch.chdir(tmp_path)
    _, block = blocks()
    names: dict[str, Any] = {}
    exec(block, names)
    small = read.memory if artifact.spec.cells else replace(read.memory, spec=not_enlarged(read.spec))
    images = small.recall(Query.everything(small.spec))
    numpy.testing.assert_allclose(names["images"].reshape(images.shape), images, rtol=1e-4, atol=1e-5)


def test_supports_that_no_writer_writes_are_refused(
    sparse: tuple[Path, Artifact], rebuilt: Callable[..., Path]
) -> None:
    path, artifact = sparse

    def edited(number: int) -> Callable[[dict[str, Any], bytes], bytes]:
        def edit(header: dict[str, Any], old: bytes) -> bytes:
            begin, end = header["support"]["data_offsets"]
            return old[:begin] + bytes([number]) * (end - begin) + old[end:]

        return edit

    def told(**memory: int) -> Callable[[dict[str, Any], dict[str, Any]], object]:
        return lambda _, manifest: manifest["memory"].update(memory)

    one = artifact.spec.support == 1
    wrong = "numbers of bases that do not exist" if one else "bases that do not ascend in a row"
    with pytest.raises(MemoryFileError, match=f"support holds {wrong}"):
        memoryfile.read(rebuilt(lambda *_: None, edited(0xFF), path.name))
    with pytest.raises(MemoryFileError, match="it is of format 3, where a memory like this is of format 2"):
        memoryfile.read(rebuilt(lambda _, manifest: manifest["memory"].pop("support"), golden=path.name))
    with pytest.raises(MemoryFileError, match="the tensors support are missing"):
        memoryfile.read(rebuilt(lambda header, _: header.update(strange=header.pop("support")), golden=path.name))
    with pytest.raises(MemoryFileError, match="impossible: support is 3 of 3 bases"):
        memoryfile.read(rebuilt(told(support=3), golden=path.name))
    with pytest.raises(MemoryFileError, match="it is of format 2, where a memory like this is of format 3"):
        memoryfile.read(rebuilt(lambda _, manifest: manifest.update(format=2), golden=path.name))
    with pytest.raises(MemoryFileError, match="it is of format 3, where a memory like this is of format 2"):
        memoryfile.read(rebuilt(lambda _, manifest: manifest.update(format=3)))


def test_a_memory_of_whitened_images_is_read_and_written_as_the_golden_file_is(
    white: tuple[Path, Artifact], tmp_path: Path
) -> None:
    path, artifact = white
    (tmp_path / "memory.safetensors").write_bytes(path.read_bytes())
    memoryfile.write(tmp_path / "again", artifact, force=False)
    assert (tmp_path / "again").read_bytes() == today(path)
    read = memoryfile.read(path)
    assert read.manifest == artifact.manifest
    query = Query.everything(read.memory.spec)
    image, data = read.memory.recall(query)[5], read.manifest.spec.data
    made = numpy.fft.fft2(image.numpy())  # from here on as the page says it
    for i, j in numpy.ndindex(4, 6):
        ring = int(6 * numpy.hypot(min(i, 4 - i) / 4, min(j, 6 - j) / 6) + 0.5)
        first, second, third = data.zca[3 * ring : 3 * ring + 3]
        lower = numpy.array([[first, 0], [second, third]])
        made[:, i, j] = numpy.linalg.inv(lower @ lower.T) @ made[:, i, j]
    plain = numpy.fft.ifft2(made)
    assert numpy.abs(plain.imag).max() < 1e-6
    wanted = plain.real * numpy.reshape(data.std, (2, 1, 1)) + numpy.reshape(data.mean, (2, 1, 1))
    numpy.testing.assert_allclose(pixels(read.memory, query)[5], wanted, rtol=1e-5, atol=1e-5)


def test_the_page_names_every_key() -> None:
    page = PAGE.read_text(encoding="utf-8")
    manifest = memoryfile.read(GOLDEN).manifest.to_json()
    inner = {"manifest_sha256"} | {
        key for part in ("data", "memory", "retrain", "provenance") for key in manifest[part]
    }
    inner |= {field.name for field in fields(TrainRecipe)}
    assert {key for key in {*manifest, "sha256", *inner} if f"`{key}`" not in page} == set()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def artifacts(draw: st.DrawFn) -> Artifact:
    side = st.integers(1, 3)
    scale, channels = draw(side), draw(side)
    names = tuple(draw(st.lists(texts, min_size=1, max_size=4, unique=True)))
    finite = st.floats(-1e3, 1e3)
    data = DataSpec(
        draw(texts),
        channels,
        scale * draw(side),
        scale * draw(side),
        names,
        tuple(draw(st.lists(finite, min_size=channels, max_size=channels))),
        tuple(draw(st.lists(st.floats(1e-6, 1e3), min_size=channels, max_size=channels))),
    )
    spec = MemorySpec(data, draw(side), scale, draw(side), *map(draw, map(st.sampled_from, (list(STORAGES), LABELS))))
    if spec.bases > 1:
        spec = replace(spec, support=draw(st.integers(0, spec.bases - 1)))
    seed = draw(st.integers(0, 2**63 - 1))
    random = seeds.generator(seed, "test")
    tensors = {name: torch.randn(shape, generator=random) for name, shape in spec.shapes.items()}
    if spec.support:
        order = torch.rand(*spec.shapes["addresses"][:2], spec.bases, generator=random).argsort(-1)
        tensors["support"] = order[..., : spec.support].sort(-1).values
    provenance = {"source": draw(texts), "fingerprint": "f", "licence": draw(st.none() | texts), "versions": {}}
    return Artifact(
        Memory(spec, **tensors),
        Manifest(spec, draw(st.dictionaries(texts, plain)), seed, TrainRecipe(), provenance, {"r": draw(plain)}),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@settings(max_examples=60, deadline=None)
@given(artifact=artifacts())
def test_round_trip_and_identical_rewriting(folder: Path, artifact: Artifact) -> None:
    sha256 = memoryfile.write(folder / "one", artifact, force=True)
    read = memoryfile.read(folder / "one")
    assert read.manifest == artifact.manifest
    assert equal(read.memory, memoryfile.stored(artifact.memory))
    assert memoryfile.write(folder / "two", read, force=True) == sha256
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()
    found = inspect(folder / "one")
    assert (found.manifest, found.sha256) == (artifact.manifest, sha256)
    assert found.file_bytes == (folder / "one").stat().st_size


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A change of some bytes: overwritten, cut out, put in, or all after some place dropped."""
    places = draw(
        st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=9)), min_size=1, max_size=4)
    )

    def damage(data: bytes) -> bytes:
        for share, how, new in places:
            at = int(share * len(data))
            data = (
                data[:at] + new + data[at + len(new) :],
                data[:at] + data[at + len(new) + 1 :],
                data[:at] + new + data[at:],
                data[:at],
            )[how]
        return data

    return damage


@settings(max_examples=400, deadline=None)
@given(damage=damages())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    data = damage(GOLDEN.read_bytes())
    (folder / "damaged").write_bytes(data)
    try:
        read = memoryfile.read(folder / "damaged")
    except (MemoryFileError, LimitError):
        return
    assert read.memory.bases.isfinite().all()


@pytest.mark.parametrize("version", [1, 2])
def test_every_byte_that_is_changed_is_found(folder: Path, version: int) -> None:
    data = (GOLDEN.parent / f"memory-v{version}-int4-class.safetensors").read_bytes()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        (folder / "changed").write_bytes(changed)
        with pytest.raises((MemoryFileError, LimitError)):
            inspect(folder / "changed")


def test_a_manifest_without_a_checksum_is_read_only_where_it_tells_of_no_labels(folder: Path) -> None:
    """So that nothing is left unchecked by a changed letter in the name of the checksum."""
    data = (GOLDEN.parent / "memory-v1-float32-fixed.safetensors").read_bytes()
    (folder / "changed").write_bytes(data.replace(b"manifest_sha256", b"manifest_sha257"))
    with pytest.raises(MemoryFileError, match="the manifest has no manifest_sha256, which"):
        inspect(folder / "changed")


@pytest.mark.parametrize("storage", ["float16", "int8", "int4"])
def test_stored_rounds_as_the_file_does(make: Callable[..., Artifact], tmp_path: Path, storage: str) -> None:
    artifact = make(storage, "row")
    memory = replace(artifact.memory, bases=artifact.memory.bases + 1e-4)
    memoryfile.write(tmp_path / "f", Artifact(memory, artifact.manifest), force=False)
    assert equal(memoryfile.read(tmp_path / "f").memory, memoryfile.stored(memory))
    assert not torch.equal(memoryfile.stored(memory).bases, memory.bases)
    assert memoryfile.stored(memory).bases.dtype == torch.float32


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("storage", STORAGES)
def test_the_payload_is_as_large_as_the_spec_says(
    make: Callable[..., Artifact], tmp_path: Path, storage: str, labels: str
) -> None:
    memoryfile.write(tmp_path / "f", make(storage, labels), force=False)
    header = read_header(tmp_path / "f")
    assert header.file_bytes - header.header_bytes - 8 == make(storage, labels).memory.spec.bytes


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (float("nan"), DivergedError, "bases hold numbers that are not finite"),
        (float("inf"), DivergedError, "bases hold numbers that are not finite"),
        (2e9, DivergedError, r"bases hold numbers beyond 1e\+09\. Train again, at a lower rate"),
        (1e7, UsageError, r"bases hold numbers too large for STORAGE\. Give `storage` float32"),
    ],
)
@pytest.mark.parametrize("storage", ["float16", "int8", "int4"])
def test_numbers_that_cannot_be_stored(
    make: Callable[..., Artifact], tmp_path: Path, storage: str, value: float, error: type[Exception], match: str
) -> None:
    artifact = make(storage)
    artifact.memory.bases[0, 0, 0, 0] = value
    with pytest.raises(error, match=match.replace("STORAGE", storage)):
        memoryfile.write(tmp_path / "f", artifact, force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_memory_and_a_manifest_of_different_specs(make: Callable[..., Artifact]) -> None:
    with pytest.raises(UsageError, match="the memory and its manifest have different specs"):
        Artifact(make("float32").memory, make("float16").manifest)


def test_an_existing_file_needs_force(make: Callable[..., Artifact], tmp_path: Path) -> None:
    memoryfile.write(tmp_path / "f", make(), force=False)
    with pytest.raises(ExistsError):
        memoryfile.write(tmp_path / "f", make(), force=False)
    memoryfile.write(tmp_path / "f", make("float16"), force=True)
    assert memoryfile.read(tmp_path / "f").memory.spec.storage == "float16"


def test_a_file_of_another_kind_is_no_memory(make: Callable[..., Artifact], tmp_path: Path) -> None:
    memory = make().memory
    (tmp_path / "f").write_bytes(dumps({"bases": memory.bases}, {"kind": "network"}))
    with pytest.raises(MemoryFileError, match="f: this is not a memory file, but one of kind 'network'"):
        memoryfile.read(tmp_path / "f")
