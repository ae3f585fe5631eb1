"""The checks of a memory file, in the order of docs/format.md: most of them before any tensor is read. No torch."""

import math
from dataclasses import dataclass

import numpy

from memcli.errors import LimitError
from memcli.files import identity
from memcli.files.container import FILE_BYTES, HEADER_BYTES, OpenFile
from memcli.files.headers import Header, damaged
from memcli.files.manifest import Manifest
from memcli.memory.storage import CELLS, SCALE_SUFFIX, STORAGES
from memcli.memory.storages.base import LEAST_SCALE
from memcli.text import printable

_NUMPY = {"F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1"}


@dataclass(frozen=True)
class Limits:
    """The limits of a reader. A small file may ask for a large recall: its header shows that, and it is refused."""

    file_bytes: int = FILE_BYTES
    header_bytes: int = HEADER_BYTES
    recall_bytes: int = 8 * 2**30  # the images of the whole recall and their label vectors, as float32
    images: int = 10**7


DEFAULT_LIMITS = Limits()


def accept(header: Header, limits: Limits) -> Manifest:
    """The manifest of a header whose tensors agree with it, and whose recall is within `limits`.

    Raises MemoryFileError where it is not a valid memory, LimitError where its recall is too large.
    """
    manifest = Manifest.from_json(header.manifest)
    spec, tensors = manifest.spec, header.tensors
    missing, extra = sorted(set(spec.payload) - set(tensors)), sorted(set(tensors) - set(spec.payload))
    if missing:
        raise damaged(f"the tensors {', '.join(missing)} are missing")
    if extra:
        raise damaged(f"there are tensors that no memory has: {printable(', '.join(extra))}")
    for name, (dtype, shape) in spec.payload.items():
        entry = tensors[name]
        if entry.dtype != dtype:
            raise damaged(f"{name} is {entry.dtype}, where storage {spec.storage} means {dtype}")
        if len(entry.shape) != len(shape):
            raise damaged(f"{name} has {len(entry.shape)} dimensions, not {len(shape)}")
        if entry.shape != shape:
            raise damaged(f"{name} is of shape {entry.shape}, where the manifest means {shape}")
    recall_bytes = 4 * spec.recalled * (math.prod(spec.data.shape) + len(spec.data.classes))
    for what, value, most in (
        ("images", spec.recalled, limits.images),
        ("bytes", recall_bytes, limits.recall_bytes),
    ):
        if value > most:
            raise LimitError(
                f"its recall of {value} {what} is over the limit of {most}", do="Raise the limit if you trust the file"
            )
    return manifest


def verify(file: OpenFile, manifest: Manifest, payload: bytes, expected: str | None = None) -> str:
    """The checksum of the file, once all numbers were checked, which a writer must have written, and all checksums.

    Raises MemoryFileError, and as `OpenFile.verify` does.
    """
    header = file.header
    shapes, storage = manifest.spec.shapes, STORAGES[manifest.spec.storage]
    for name, entry in header.tensors.items():
        numbers = numpy.frombuffer(payload[entry.begin : entry.end], _NUMPY[entry.dtype])
        if entry.dtype in ("F32", "F16") and not numpy.isfinite(numbers).all():
            raise damaged(f"{name} holds numbers that are not finite")
        if name.endswith(SCALE_SUFFIX) and not (numbers >= LEAST_SCALE).all():
            raise damaged(f"{name} holds scales below {LEAST_SCALE}")
        if name == CELLS:
            if (numbers >= manifest.spec.cells).any():
                raise damaged(f"{name} holds numbers of cells that do not exist")
        elif name in shapes and (fault := storage.fault(numbers, math.prod(shapes[name]))):
            raise damaged(f"{name} holds {fault}, which no writer writes")
    told = header.manifest
    if identity.format_of(told) == 1 and "labels" in told["memory"] and identity.SEAL not in told:
        raise damaged(f"the manifest has no {identity.SEAL}, which a file with a setting of labels must have")
    return file.verify(payload, expected)
