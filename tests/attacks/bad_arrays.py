"""Bad data sets in arrays: npz, idx and Parquet files that are damaged, or made to cost much. All are small on disk."""

import gzip
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pyarrow
from bad_footers import FOOTERS, raw
from bad_pages import PAGES
from dataset_attacks import Attack, picture, read, refused
from numpy.lib import format as npy
from pyarrow import parquet

IMAGES = numpy.random.default_rng(0).integers(0, 256, (10, 8, 8), dtype=numpy.uint8)
LABELS = numpy.arange(10) % 2
GOOD = {"images": IMAGES, "labels": LABELS}
_GIB = 1 << 30


def arrays(**changed: Any) -> Callable[[Path], str]:
    """An npz file of ten images with labels, and these arrays in their place; None: that one is left out."""

    def write(folder: Path) -> str:
        chosen = {name: array for name, array in {**GOOD, **changed}.items() if array is not None}
        numpy.savez_compressed(folder / "set.npz", **chosen)
        return f"npz:{folder / 'set.npz'}"

    return write


def stored(array: Any) -> bytes:
    """The bytes of an .npy member."""
    stream = io.BytesIO()
    npy.write_array(stream, numpy.asarray(array))
    return stream.getvalue()


def header(text: str, version: int = 1, length: int | None = None) -> bytes:
    """An .npy header of that text, which may declare another length than its own."""
    size = len(text) if length is None else length
    return (
        b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", size) + text.encode("latin1")
    )


def declared(shape: str, dtype: str) -> bytes:
    """A member that declares this shape and type, and holds nothing."""
    return header(f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n")


def members(kind: int = zipfile.ZIP_DEFLATED, **content: bytes) -> Callable[[Path], str]:
    """An npz file with these bytes as members, beside ten good images with labels."""

    def write(folder: Path) -> str:
        with zipfile.ZipFile(folder / "set.npz", "w", kind) as archive:
            for name, data in {**{name: stored(array) for name, array in GOOD.items()}, **content}.items():
                archive.writestr(f"{name}.npy", data)
        return f"npz:{folder / 'set.npz'}"

    return write


def zeros(name: str, head: bytes, count: int) -> Callable[[Path], str]:
    """A zip bomb: a member of `count` zeros after its header, a thousandth of that on disk."""

    def write(folder: Path) -> str:
        with zipfile.ZipFile(folder / "set.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            for other, array in GOOD.items():
                if other != name:
                    archive.writestr(f"{other}.npy", stored(array))
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                stream.write(head)
                for start in range(0, count, 1 << 20):
                    stream.write(bytes(min(1 << 20, count - start)))
        return f"npz:{folder / 'set.npz'}"

    return write


def damaged(change: Callable[[bytes], bytes]) -> Callable[[Path], str]:
    """A good npz file whose bytes are changed."""

    def write(folder: Path) -> str:
        text = arrays()(folder)
        path = folder / "set.npz"
        path.write_bytes(change(path.read_bytes()))
        return text

    return write


def encrypted(data: bytes) -> bytes:
    """The same archive, whose members ask for a password."""
    data = re.sub(rb"(PK\x03\x04..)\0", b"\\1\x01", data, flags=re.DOTALL)
    return re.sub(rb"(PK\x01\x02....)\0", b"\\1\x01", data, flags=re.DOTALL)


def idx(images: tuple[int, ...], labels: int, data: bytes = b"", numbers: bytes = b"") -> Callable[[Path], str]:
    """MNIST's files, which declare these sides and hold these bytes."""

    def write(folder: Path) -> str:
        (folder / "train-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, *images) + data)
        (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, labels) + numbers)
        return f"idx:{folder}"

    return write


def idx_bomb(folder: Path) -> str:
    """60 million images of one pixel, and their labels, in some kB of gzip."""
    heads = {"images-idx3": (0x803, 60_000_000, 1, 1), "labels-idx1": (0x801, 60_000_000)}
    for name, head in heads.items():
        with gzip.open(folder / f"train-{name}-ubyte.gz", "wb", compresslevel=1) as stream:
            stream.write(struct.pack(f">{len(head)}I", *head))
            for _ in range(60):
                stream.write(bytes(1_000_000))
    return f"idx:{folder}"


def table(labels: Any, images: Any = None, metadata: bytes | None = None, **how: Any) -> Callable[[Path], str]:
    """A Parquet file of encoded images and these labels."""

    def write(folder: Path) -> str:
        encoded = [picture(number) for number in range(len(labels))] if images is None else images
        kind = pyarrow.struct([("bytes", pyarrow.binary())])
        columns = {"image": pyarrow.array([{"bytes": data} for data in encoded], kind), "label": labels}
        made = pyarrow.table(columns)
        if metadata is not None:
            made = made.replace_schema_metadata({"huggingface": metadata})
        parquet.write_table(made, folder / "set.parquet", **how)
        return f"parquet:{folder / 'set.parquet'}"

    return write


def shared_cell(rows: int, size: int) -> Callable[[Path], str]:
    """A Parquet file whose `rows` cells are one value of `size` zeros, which the file holds once."""

    def write(folder: Path) -> str:
        cell = pyarrow.array([bytes(size)], pyarrow.binary())
        cells = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), cell)
        packed = pyarrow.StructArray.from_arrays([cells], names=["bytes"])
        columns = pyarrow.table({"image": packed, "label": [0, 1] * (rows // 2)})
        how = {"compression": "zstd", "store_schema": False, "dictionary_pagesize_limit": 1 << 30}
        parquet.write_table(columns, folder / "set.parquet", **how)
        return f"parquet:{folder / 'set.parquet'}"

    return write


def long_names(folder: Path) -> str:
    """Labels of a megabyte each, one value that the file holds once, for ten images."""
    return table(pyarrow.array(["a" * (1 << 20), "b"] * 5))(folder)


_NUMBERS = numpy.array(["é", "e\N{COMBINING ACUTE ACCENT}", "b"])
_LARGE = declared(f"({_GIB}, 1, 1)", "'|u1'")
_FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["a", "b"]}}
_ROW = pyarrow.array([0, 1] * 5)

NPZ: dict[str, Attack] = {
    "texts of no size, in number": refused(members(labels=declared("(2000000000,)", "'<U0'")), "no size"),
    "bytes of no size, in number": refused(members(images=declared("(2000000000, 8, 8)", "'|V0'")), "no size"),
    "no pixels, in number": refused(members(x_test=declared("(2000000000, 0, 8)", "'|u1'")), "no values"),
    "rows of no labels, in number": refused(
        members(images=declared("(2000000000, 8, 0)", "'|u1'"), labels=declared("(2000000000, 0)", "'|u1'")),
        "no values",
    ),
    "objects": refused(arrays(labels=LABELS.astype(object)), "Python objects"),
    "a declared size": refused(members(images=declared("(1000000000, 8, 8)", "'|u1'")), "declares 64000000082 bytes"),
    "a side below zero": refused(members(images=declared("(-10, -8, 8)", "'|u1'")), "declares"),
    "a side beyond 64 bits": refused(members(images=declared(f"({10**30}, 8, 8)", "'|u1'")), "declares"),
    "a header of a gigabyte": refused(zeros("images", header("", 2, _GIB), _GIB), "cannot be read", slow=True),
    "a header of parentheses": refused(members(images=header("(" * 9000)), "cannot be read"),
    "a header of minus signs": refused(members(images=header("-" * 9000 + "1")), "cannot be read"),
    "a gigabyte of images": refused(zeros("images", _LARGE, _GIB), "1,073,741,824 images, and at most", slow=True),
    "a gigabyte of text in labels": refused(
        zeros("labels", declared("(10,)", f"'<U{_GIB // 40}'"), _GIB // 40 * 40),
        "labels of set.npz takes 1,023 MiB",
        slow=True,
    ),
    "a gigabyte of class names": refused(
        zeros("classes", declared("(2,)", f"'<U{_GIB // 8}'"), _GIB // 8 * 8), "classes .* takes 1,024 MiB", slow=True
    ),
    "records": refused(arrays(images=numpy.zeros((10, 8, 8), "u1,u1")), "has type"),
    "complex pixels": refused(arrays(images=IMAGES.astype(complex)), "has type complex128"),
    "dates as labels": refused(arrays(labels=LABELS.astype("M8[s]")), "not one label per image"),
    "NaN in pixels": refused(arrays(images=numpy.where(IMAGES == 3, numpy.nan, IMAGES / 255)), "remove NaN"),
    "infinite pixels": refused(arrays(images=numpy.where(IMAGES == 3, numpy.inf, IMAGES / 255)), "has values"),
    "pixels below zero": refused(arrays(images=IMAGES / 255 - 0.5), "has values"),
    "fewer labels": refused(arrays(labels=LABELS[:9]), "10 images in images and 9 labels"),
    "one label for all": refused(arrays(labels=numpy.int64(3)), "10 images in images and 1 labels"),
    "labels beyond 64 bits": refused(arrays(labels=LABELS.astype("u8") + 2**63), "which are not one label per image"),
    "labels between numbers": refused(arrays(labels=LABELS + 0.5), "such as 0.5"),
    "infinite labels": refused(arrays(labels=numpy.where(LABELS == 1, numpy.inf, 0)), "such as inf|not one label"),
    "some labels -1": refused(arrays(labels=LABELS - 1), "-1 beside 0"),
    "labels of one class": refused(arrays(labels=LABELS * 0), "one class only"),
    "labels beyond the classes": refused(arrays(classes=numpy.array(["a"])), "with 1 classes"),
    "a control character in a name": refused(members(**{"images\x1b[2J": b"", "labels": b""}), "cannot be read"),
    "an archive without arrays": refused(damaged(lambda _: b"PK\x05\x06" + bytes(18)), "has the arrays none"),
    "an empty file": refused(damaged(lambda _: b""), "cannot be read"),
    "half a file": refused(damaged(lambda data: data[: len(data) // 2]), "cannot be read"),
    "a changed byte": refused(damaged(lambda data: data[:80] + bytes((data[80] ^ 1,)) + data[81:]), "cannot be read"),
    "another compression": refused(members(zipfile.ZIP_LZMA), "kind of compression"),
    "a password": refused(damaged(encrypted), "cannot be read: .*encrypted"),
    "an array twice": refused(damaged(lambda data: data.replace(b"labels", b"images")), "same name|cannot be read"),
    "unsigned labels": read(arrays(labels=LABELS.astype("u8")), ("0", "1")),
    "labels of 8 bits": read(arrays(labels=LABELS.astype("u1") * 255), ("0", "255")),
    "labels below zero": read(arrays(labels=LABELS - 7), ("-7", "-6")),
    "labels beyond 32 bits": read(arrays(labels=LABELS + 2**40), (str(2**40), str(2**40 + 1))),
    "whole floats as labels": read(arrays(labels=LABELS.astype("f2")), ("0", "1")),
    "one name in two codings": read(arrays(labels=_NUMBERS[numpy.arange(10) % 3]), ("b", "é")),
}

IDX: dict[str, Attack] = {
    "gigabytes of images": refused(idx((4_000_000_000, 28, 28), 4_000_000_000), "4,000,000,000 images, and at most"),
    "images of no pixels": refused(idx((4_000_000_000, 0, 28), 4_000_000_000), "images, and at most"),
    "tens of millions of images": refused(idx_bomb, "images, and at most"),
    "fewer bytes than declared": refused(
        idx((10, 8, 8), 10, bytes(99), bytes((0, 1)) * 5), "declares 640 bytes and has 99"
    ),
    "other counts": refused(idx((10, 8, 8), 9, bytes(640), bytes(9)), "10 images and .* 9 labels"),
}

PARQUET: dict[str, Attack] = {
    "cells of 60 MB that are one": refused(shared_cell(400, 60 << 20), "unpack to more than 1 GiB", slow=True),
    "a cell of 300 MB of zeros": refused(
        shared_cell(10, 300 << 20), "a page of .* bytes that unpacks to 300 MiB", slow=True
    ),
    "labels of a megabyte": refused(long_names, "labels of up to"),
    "images that are paths": refused(table(_ROW, [None] * 10), "holds no image"),
    "no image in any cell": refused(table(_ROW, [b"no image"] * 10), "8 images cannot be read"),
    "labels beyond 64 bits": refused(table(pyarrow.array([2**63, 1] * 5, pyarrow.uint64())), "not one label"),
    "labels between numbers": refused(table(pyarrow.array([0.5, 1.0] * 5)), "such as 0.5"),
    "damaged features": refused(table(_ROW, metadata=b'{"info": 3}'), "metadata of 'set.parquet'|metadata of set"),
    "nested features": refused(table(_ROW, metadata=b'{"a":' * 100_000), "metadata"),
    "class names beyond the labels": refused(
        table(pyarrow.array([0, 9] * 5), metadata=json.dumps({"info": {"features": _FEATURES}}).encode()), "label 9"
    ),
    "no rows": refused(table(pyarrow.array([], pyarrow.int64()), []), "has no rows"),
    "an empty file": refused(raw(b""), "cannot be read"),
    "ends alone": refused(raw(b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1"), "cannot be read"),
    "noise": refused(raw(b"PAR1" + numpy.random.default_rng(0).bytes(400) + b"PAR1"), "cannot be read"),
    "labels of 8 bits": read(table(pyarrow.array([0, 255] * 5, pyarrow.uint8())), ("0", "255")),
}

GROUPS = {"npz": NPZ, "idx": IDX, "parquet": PARQUET | PAGES | FOOTERS}
