"""Small real files of every kind, made on the spot."""

import json
import struct
import tarfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy
import pyarrow
import pytest
import rich.style  # noqa: F401  scikit-learn imports it, and it draws from `random` when it is first imported
from PIL import Image
from pyarrow import parquet


def picture(value: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    """An image whose pixels follow from `value`: no two values give the same image."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = numpy.random.default_rng(value).integers(0, 256, (*size, channels), dtype=numpy.uint8)
    return Image.fromarray(pixels if channels > 1 else pixels[..., 0])


def png(image: Image.Image) -> bytes:
    stream = BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """folder({"train/cat": 3, ...}) writes that many PNG files in each folder and returns the root."""

    def write(counts: dict[str, int], size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Path:
        root = tmp_path / "pets"
        for place, (name, count) in enumerate(counts.items()):
            (root / name).mkdir(parents=True)
            for index in range(count):
                picture(100 * place + index, size, mode).save(root / name / f"{index:03}.png")
        return root

    return write


@pytest.fixture
def shard(tmp_path: Path) -> Callable[..., Path]:
    """shard("train-0", labels, names) writes a parquet file in the Hugging Face layout and returns its folder."""

    def write(
        name: str,
        labels: Sequence[int | None],
        names: Sequence[str] | None = None,
        *,
        label_column: str = "label",
        encoded: Sequence[bytes | None] | None = None,
        extra: dict[str, list[int]] | None = None,
        metadata: bytes | None = None,
    ) -> Path:
        seed = 1000 if name.startswith("t") and not name.startswith("train") else 0
        encoded = [png(picture(seed + index)) for index in range(len(labels))] if encoded is None else encoded
        columns = {"img": [{"bytes": data, "path": "a.png"} for data in encoded], label_column: labels, **(extra or {})}
        image_type = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        pictures = pyarrow.array(columns.pop("img"), image_type)
        table = pyarrow.table(
            {"img": pictures, **{name: pyarrow.array(values, pyarrow.int64()) for name, values in columns.items()}}
        )
        if names is not None:
            labelled = {column: {"_type": "ClassLabel", "names": list(names)} for column in columns}
            features = {"img": {"_type": "Image"}, **labelled}
            metadata = json.dumps({"info": {"features": features}}).encode()
        if metadata is not None:
            table = table.replace_schema_metadata({"huggingface": metadata})
        root = tmp_path / "shards"
        root.mkdir(exist_ok=True)
        parquet.write_table(table, root / f"{name}.parquet")
        return root

    return write


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., Path]:
    """npz(images=..., labels=...) writes these arrays and returns the file."""

    def write(**arrays: numpy.ndarray) -> Path:
        numpy.savez_compressed(tmp_path / "set.npz", **arrays)
        return tmp_path / "set.npz"

    return write


@pytest.fixture
def idx(tmp_path: Path) -> Path:
    """A root that holds an MNIST of 20 training and 10 test images, in torchvision's layout."""
    raw = tmp_path / "root" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, count in (("train", 20), ("t10k", 10)):
        pixels = numpy.random.default_rng(count).integers(0, 256, count * 28 * 28, dtype=numpy.uint8).tobytes()
        (raw / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + pixels)
        labels = bytes(index % 10 for index in range(count))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)
    return tmp_path / "root"


@pytest.fixture
def tar(tmp_path: Path) -> Callable[[int], Path]:
    """tar(20) writes a shard of that many samples of two classes and returns its path."""

    def write(count: int) -> Path:
        with tarfile.open(tmp_path / "set.tar", "w") as archive:
            for index in range(count):
                for suffix, content in (("png", png(picture(index))), ("cls", b"01"[index % 2 :][:1])):
                    entry = tarfile.TarInfo(f"{index:03}.{suffix}")
                    entry.size = len(content)
                    archive.addfile(entry, BytesIO(content))
        return tmp_path / "set.tar"

    return write
