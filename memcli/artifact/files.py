"""Reading and writing memory files."""

from dataclasses import dataclass
from pathlib import Path

import torch

from memcli import tensorfile
from memcli.artifact.manifest import Manifest
from memcli.artifact.validation import DEFAULT_LIMITS, DTYPES, Limits, accept, verify
from memcli.errors import DivergedError, UsageError
from memcli.memory import Memory

_TORCH = {storage: getattr(torch, storage) for storage in DTYPES}


@dataclass(frozen=True, eq=False)  # tensors have no single equality
class Artifact:
    """A memory and what is told of it; both hold the same spec."""

    memory: Memory
    manifest: Manifest

    def __post_init__(self) -> None:
        if self.memory.spec != self.manifest.spec:
            raise UsageError("the memory and its manifest have different specs", do="Make both from one MemorySpec")


def stored(memory: Memory) -> Memory:
    """`memory` as a reader of its file will see it: float32, rounded to the storage type of its spec, on its device.

    Raises DivergedError where a number is not finite, UsageError where it becomes so when it is rounded.
    """
    rounded = {}
    for name in memory.spec.shapes:
        tensor = getattr(memory, name).detach().float()
        rounded[name] = tensor.to(_TORCH[memory.spec.storage]).float()
        if not tensor.isfinite().all():
            raise DivergedError(f"{name} hold numbers that are not finite", do="Train again, at a lower rate")
        if not rounded[name].isfinite().all():
            raise UsageError(f"{name} hold numbers too large for {memory.spec.storage}", do="Give --storage float32")
    return Memory(memory.spec, **rounded)


def read(path: str | Path, limits: Limits = DEFAULT_LIMITS) -> Artifact:
    """The memory file at `path`, its tensors float32 on the CPU.

    Raises MemoryFileError for the refusals of docs/format.md in their order, LimitError where the file or its recall
    is over `limits`.
    """
    with tensorfile.opened(path, file_bytes=limits.file_bytes, header_bytes=limits.header_bytes) as file:
        manifest = accept(file.header, limits)
        payload = file.payload()
        verify(file.header, payload)
    tensors = {name: tensor.float() for name, tensor in tensorfile.load(file.header, payload).items()}
    return Artifact(Memory(manifest.spec, **tensors), manifest)


def write(path: str | Path, artifact: Artifact, *, force: bool) -> str:
    """Write `artifact` and return the checksum of its tensors; the same artifact gives the same bytes.

    Raises as `stored` and `atomic.write_bytes` do.
    """
    memory = stored(artifact.memory)
    dtype = _TORCH[memory.spec.storage]
    tensors = {name: getattr(memory, name).to(dtype) for name in memory.spec.shapes}
    return tensorfile.write(path, tensors, artifact.manifest.to_json(), force=force)
