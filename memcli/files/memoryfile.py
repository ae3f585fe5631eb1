"""Reading and writing memory files."""

from dataclasses import dataclass
from pathlib import Path

from memcli.errors import DivergedError, UsageError
from memcli.files import container
from memcli.files.manifest import Manifest
from memcli.files.validation import DEFAULT_LIMITS, Limits, accept, verify
from memcli.memory import quantise
from memcli.memory.memory import Memory
from memcli.memory.storage import CELLS


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
    memory = memory.with_parts({name: part.detach().float() for name, part in memory.parts.items()})
    rounded = memory.rounded()
    for name, part in memory.parts.items():
        if not part.isfinite().all():
            raise DivergedError(f"{name} hold numbers that are not finite", do="Train again, at a lower rate")
        if not rounded.parts[name].isfinite().all():
            raise UsageError(f"{name} hold numbers too large for {memory.spec.storage}", do="Give --storage float32")
    return rounded


def read(path: str | Path, limits: Limits = DEFAULT_LIMITS) -> Artifact:
    """The memory file at `path`, its tensors float32 on the CPU.

    Raises MemoryFileError for the refusals of docs/format.md in their order, LimitError where the file or its recall
    is over `limits`.
    """
    with container.opened(path, file_bytes=limits.file_bytes, header_bytes=limits.header_bytes) as file:
        manifest = accept(file.header, limits)
        payload = file.payload()
        verify(file.header, manifest, payload)
    spec = manifest.spec
    found = container.load(file.header, payload)
    tensors = quantise.from_payload(found, spec.shapes, spec.storage)
    return Artifact(Memory(spec, **tensors, cells=found.get(CELLS)), manifest)


def write(path: str | Path, artifact: Artifact, *, force: bool) -> str:
    """Write `artifact` and return the checksum of its tensors; the same artifact gives the same bytes.

    Raises as `stored` and `atomic.write_bytes` do.
    """
    memory = stored(artifact.memory)
    tensors = quantise.to_payload(memory.parts, memory.spec.storage)
    if memory.cells is not None:
        tensors[CELLS] = memory.cells
    return container.write(path, tensors, artifact.manifest.to_json(), force=force)
