"""The contract that every exporter runs through."""

import hashlib
import io
import itertools
import json
import resource
import tarfile
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from torch import Tensor

from memcli.data.spec import DataSpec
from memcli.errors import ExistsError, LimitError, UsageError
from memcli.exporters import EXPORTERS
from memcli.exporters.base import MIXTURE, RecalledChunk
from memcli.exporters.png import class_folders
from memcli.files import container
from memcli.seeds import generator

DATA = DataSpec("toy", 3, 6, 4, ("cat", "dog", "a/b"), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
TOTAL = 20


def content() -> RecalledChunk:
    """TOTAL images, some values outside [0, 1]; the last three of mixtures; labels that a memory learned."""
    images = torch.randn(TOTAL, *DATA.shape, generator=generator(0, "content")) * 0.3 + 0.5
    asked = torch.nn.functional.one_hot(torch.arange(TOTAL) % 3, 3).float()
    asked[-3:] = torch.tensor([0.7, 0.3, 0.0])
    learned = torch.tensor([[0.8, 0.1, -0.1], [0.0, 1.0, 0.0], [0.2, 0.0, 0.9]])
    return RecalledChunk(images, torch.arange(TOTAL) // 3, asked, asked @ learned)


def chunks(size: int = 7) -> Iterator[RecalledChunk]:
    whole = content()
    for start in range(0, TOTAL, size):
        part = slice(start, start + size)
        yield RecalledChunk(*(tensor[part].clone() for tensor in vars(whole).values()))


def read_png(path: Path) -> dict[str, Tensor]:
    told = json.loads((path / "labels.json").read_text())
    folders = json.loads((path / "memcli.json").read_text())["folders"]
    names = {f"train/{folder}": DATA.classes.index(name) for name, folder in folders.items()} | {"mixture": MIXTURE}
    images, labels, soft, rows = [], [], [], []
    for file, entry in told.items():
        with Image.open(path / file) as picture:
            images.append(torch.from_numpy(numpy.array(picture)).permute(2, 0, 1) / 255)
        labels.append(names[file.rpartition("/")[0].replace("mixture/cat-0.7+dog-0.3", "mixture")])
        soft.append([entry["label"].get(name, 0.0) for name in DATA.classes])
        rows.append(entry["row"])
    return {
        "images": torch.stack(images),
        "labels": torch.tensor(labels),
        "soft_labels": torch.tensor(soft),
        "rows": torch.tensor(rows),
    }


def read_npz(path: Path) -> dict[str, Tensor]:
    with numpy.load(path, allow_pickle=False) as arrays:
        assert tuple(arrays["classes"]) == DATA.classes
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files if name != "classes"}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    manifest, tensors = container.read(path, kind="recalled")
    assert DataSpec.from_json(manifest["data"]) == DATA
    return tensors


def read_parquet(path: Path) -> dict[str, Tensor]:
    table = pyarrow.parquet.read_table(path if path.is_file() else path / "train-00000-of-00001.parquet")
    told = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert tuple(told["label"]["names"]) == DATA.classes
    clipped = [torch.from_numpy(numpy.array(picture(image["bytes"]))) for image in table["image"].to_pylist()]
    return as_trained(
        clipped, *(torch.tensor(table[name].to_pylist()) for name in ("pixels", "label", "soft_label", "row"))
    )


def read_webdataset(path: Path) -> dict[str, Tensor]:
    with tarfile.open(path) as shard:
        files = {entry.name: shard.extractfile(entry).read() for entry in shard}  # type: ignore[union-attr]
    assert tuple(json.loads(files.pop("__memcli__/classes"))) == DATA.classes
    of = {end: [content for name, content in files.items() if name.endswith(end)] for end in ("png", "npy", "cls")}
    told = [json.loads(content) for name, content in files.items() if name.endswith("json")]
    labels = [int(content) for content in of["cls"]]
    assert [each["class"] for each in told] == [None if label == MIXTURE else DATA.classes[label] for label in labels]
    return as_trained(
        [torch.from_numpy(numpy.array(picture(content))) for content in of["png"]],
        torch.stack([torch.from_numpy(numpy.load(io.BytesIO(content))) for content in of["npy"]]),
        torch.tensor(labels),
        torch.tensor([each["soft_label"] for each in told]),
        torch.tensor([each["row"] for each in told]),
    )


def picture(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=["PNG"])


def as_trained(clipped: list[Tensor], images: Tensor, labels: Tensor, soft: Tensor, rows: Tensor) -> dict[str, Tensor]:
    """The exact values, after a look at the pictures beside them."""
    assert (torch.stack(clipped).permute(0, 3, 1, 2) / 255 - images.clamp(0, 1)).abs().max() <= 1 / 510 + 1e-6
    return {"images": images, "labels": labels, "soft_labels": soft, "rows": rows}


def read_pt(path: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(path, weights_only=True)
    assert tuple(found.pop("classes")) == DATA.classes
    return found


READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    "png": read_png,
    "npz": read_npz,
    "safetensors": read_safetensors,
    "parquet": read_parquet,
    "webdataset": read_webdataset,
    "pt": read_pt,
}


def digest(path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    parts = [(str(file.relative_to(path)), file.read_bytes()) for file in files if file.is_file()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def test_every_exporter_has_a_reader_here() -> None:
    assert READERS.keys() == EXPORTERS.keys()


@pytest.mark.parametrize("name", EXPORTERS)
def test_what_was_written_is_read_back(name: str, tmp_path: Path) -> None:
    EXPORTERS[name].export(tmp_path / "out", DATA, chunks(), TOTAL, force=False)
    found, wanted = READERS[name](tmp_path / "out"), content()
    assert found.keys() == {"images", "labels", "soft_labels", "rows"}
    assert torch.equal(found["labels"], torch.tensor([*(i % 3 for i in range(TOTAL - 3)), -1, -1, -1]))
    assert torch.equal(found["soft_labels"], wanted.labels)
    assert torch.equal(found["rows"], wanted.rows)
    if name == "png":
        assert wanted.images.min() < 0, "the test needs values that PNG cannot hold"
        assert (found["images"] - wanted.images.clamp(0, 1)).abs().max() <= 1 / 510 + 1e-6
    else:
        assert torch.equal(found["images"], wanted.images)


@pytest.mark.parametrize("name", EXPORTERS)
def test_the_bytes_are_the_same_whatever_the_chunks(name: str, tmp_path: Path) -> None:
    for number, size in enumerate((1, 7, TOTAL)):
        EXPORTERS[name].export(tmp_path / str(number), DATA, chunks(size), TOTAL, force=False)
    assert len({digest(tmp_path / str(number)) for number in range(3)}) == 1


@pytest.mark.parametrize("name", EXPORTERS)
def test_no_chunk_is_kept(name: str, tmp_path: Path) -> None:
    alive: list[weakref.ref[Tensor]] = []

    def watched() -> Iterator[RecalledChunk]:
        for chunk in chunks(2):
            alive.append(weakref.ref(chunk.images))
            yield chunk
            del chunk
            # The consumer's own name still holds the chunk that it is asking past.
            assert sum(each() is not None for each in alive) <= 1

    EXPORTERS[name].export(tmp_path / "out", DATA, watched(), TOTAL, force=False)
    assert len(alive) == TOTAL / 2


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_failure_leaves_nothing(name: str, tmp_path: Path) -> None:
    def failing() -> Iterator[RecalledChunk]:
        yield next(chunks())
        raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        EXPORTERS[name].export(tmp_path / "out", DATA, failing(), TOTAL, force=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_full_disk_is_a_limit_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))  # bytes: the kernel refuses more with EFBIG
    try:
        with pytest.raises(LimitError, match="Free some disk space"):
            EXPORTERS[name].export(tmp_path / "out", DATA, chunks(), TOTAL, force=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that even root cannot write to")
@pytest.mark.parametrize("name", EXPORTERS)
def test_a_folder_without_permission_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="/sys/out cannot be written"):
        EXPORTERS[name].export(Path("/sys/out"), DATA, chunks(), TOTAL, force=False)


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_output_is_replaced_only_by_force(name: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    first_half = RecalledChunk(*(part[:10] for part in vars(content()).values()))
    EXPORTERS[name].export(path, DATA, iter([first_half]), 10, force=False)
    with pytest.raises(ExistsError, match="Add `force`"):
        EXPORTERS[name].export(path, DATA, chunks(), TOTAL, force=False)
    assert len(READERS[name](path)["images"]) == 10
    EXPORTERS[name].export(path, DATA, chunks(), TOTAL, force=True)
    assert len(READERS[name](path)["images"]) == TOTAL


def test_hard_labels_are_the_classes_that_were_asked_for() -> None:
    asked = torch.tensor([[0, 1.0], [1, 0], [0.5, 0.5], [0, 0.5], [1, 1], [0, 0], [2, -1]])
    chunk = RecalledChunk(torch.zeros(7, 1, 2, 2), torch.arange(7), asked, torch.eye(2)[[0] * 7])
    assert chunk.hard_labels().tolist() == [1, 0, MIXTURE, MIXTURE, MIXTURE, MIXTURE, MIXTURE]


def test_harmless_class_names_stay_and_others_become_numbers() -> None:
    kept = ("cat", "T-shirt", "Ankle boot", "7", "größe", "v1.0", "train")
    assert class_folders(kept) == list(kept)
    hostile = (
        "../x",
        "a/b",
        ".git",
        "",
        "nul",
        "COM1.txt",
        "x\u202ey",
        "dot.",
        "end ",
        "x" * 101,
        "ﬁ",
        "_",
        "class-0001",
    )
    assert class_folders(hostile) == [f"class-{index:04d}" for index in range(len(hostile))]
    assert class_folders(("Cat", "cat", "dog")) == ["class-0000", "class-0001", "dog"]


@pytest.mark.parametrize("name", ["npz", "safetensors", "pt", "webdataset"])
def test_memory_does_not_grow_with_the_images(name: str, tmp_path: Path) -> None:
    data = DataSpec("toy", 3, 32, 32, ("dog", "cat"), (0.5,) * 3, (0.2,) * 3)
    chunk = RecalledChunk(
        torch.rand(10, 3, 32, 32, generator=generator(0, "npz")),
        torch.arange(10),
        torch.eye(2)[[0] * 10],
        torch.eye(2)[[0] * 10],
    )
    tracemalloc.start()  # it counts what Python and numpy allocate: the bytes on their way into the file
    try:
        EXPORTERS[name].export(tmp_path / "out", data, itertools.repeat(chunk, 100), 1000, force=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    one_chunk = chunk.images.numel() * 4
    assert (tmp_path / "out").stat().st_size > 100 * one_chunk
    assert peak < 6 * one_chunk
