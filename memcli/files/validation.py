"""The checks of a memory file, in the order of docs/format.md: most of them before any tensor is read. No torch."""

import math

import numpy

from memcli.files import identity
from memcli.files.container import OpenFile
from memcli.files.headers import Header, damaged
from memcli.files.limits import Limits
from memcli.files.manifest import Manifest
from memcli.memory.storage import CELLS, MOST_NUMBER, SCALE_SUFFIX, STORAGES, SUPPORT
from memcli.memory.storages.base import LEAST_SCALE
from memcli.memory.support import support_fault
from memcli.text import printable

_NUMPY = {"F32": "<f4", "F16": "<f2", "I8": "i1", "U8": "u1"}


def accept(header: Header, limits: Limits) -> Manifest:
    """The manifest of a header whose tensors agree with it, and that recalls no more images than `limits` allow.

    Raises MemoryFileError where it is not a valid memory, LimitError where it recalls too many images.
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
    limits.require_images(spec)
    return manifest


def verify(file: OpenFile, manifest: Manifest, payload: bytes, expected: str | None = None) -> str:
    """The checksum of the file, once all numbers were checked, which a writer must have written, and all checksums.

    Raises MemoryFileError, and as `OpenFile.verify` does.
    """
    header = file.header
    shapes, storage = manifest.spec.shapes, STORAGES[manifest.spec.storage]
    view = memoryview(payload)  # no copy of what may be a gigabyte
    for name, entry in header.tensors.items():
        numbers = numpy.frombuffer(view[entry.begin : entry.end], _NUMPY[entry.dtype])
        low, high = float(numbers.min()), float(numbers.max())  # NaN where there is one
        if not (math.isfinite(low) and math.isfinite(high)):
            raise damaged(f"{name} holds numbers that are not finite")
        if max(-low, high) > MOST_NUMBER:
            raise damaged(f"{name} holds numbers beyond {MOST_NUMBER:g}")
        if name.endswith(SCALE_SUFFIX) and not (numbers >= LEAST_SCALE).all():
            raise damaged(f"{name} holds scales below {LEAST_SCALE}")
        if name == CELLS:
            if (numbers >= manifest.spec.cells).any():
                raise damaged(f"{name} holds numbers of cells that do not exist")
        elif name == SUPPORT:
            if fault := support_fault(numbers, manifest.spec):
                raise damaged(f"{name} holds {fault}")
        elif name in shapes and (fault := storage.fault(numbers, math.prod(shapes[name]))):
            raise damaged(f"{name} holds {fault}, which no writer writes")
    told = header.manifest
    if identity.format_of(told) == 1 and "labels" in told["memory"] and identity.SEAL not in told:
        raise damaged(f"the manifest has no {identity.SEAL}, which a file with a setting of labels must have")
    return file.verify(payload, expected)
