"""Reading and writing memory files."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from memcli.errors import DivergedError, UsageError
from memcli.files import container
from memcli.files.headers import Header
from memcli.files.inspection import Inspection, inspected
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.manifest import Manifest
from memcli.files.queryfile import Asked, label_vectors
from memcli.memory import quantise
from memcli.memory.cost import at_once
from memcli.memory.memory import Memory, Query
from memcli.memory.query import pixels
from memcli.memory.spec import MemorySpec
from memcli.memory.storage import CELLS, MOST_NUMBER, SUPPORT
from memcli.memory.support import packed_support, unpacked_support
from memcli.text import printable


@dataclass(frozen=True, eq=False)  # tensors have no single equality
class Artifact:
    """A memory and its manifest; both hold the same spec."""

    memory: Memory
    manifest: Manifest
    sha256: str = ""  # the checksum of its file, as verified; "" where it comes from no file

    def __post_init__(self) -> None:
        if self.memory.spec != self.manifest.spec:
            raise UsageError("the memory and its manifest have different specs", do="Make both from one MemorySpec")

    @property
    def spec(self) -> MemorySpec:
        """Shape and cost of the memory, and its data set: `spec.data.classes` are the class names."""
        return self.memory.spec

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers."""
        return self.spec.data.classes

    def __repr__(self) -> str:
        size = f"{len(self.classes)} classes, {self.spec.rows} images each, {self.spec.bytes:,} bytes"
        return f"<memory of {printable(self.spec.data.name)}: {size}>"

    @torch.no_grad()
    def recall(
        self, query: Asked | None = None, *, normalised: bool = False, limits: Limits = DEFAULT_LIMITS
    ) -> tuple[Tensor, Tensor]:
        """Images (n, C, H, W) float32 and their label vectors (n, classes) float32, on the memory's device.

        `query`: the name or the number of a class, a mixture such as "cat:0.7,dog:0.3", an interpolation such as
        "cat..dog:8", a label vector (classes,) or several, (q, classes), or a file of them (memcli.files.queryfile),
        for the R images of each, one label vector after the other; None for R images of each class, class after class.
        Images are pixels in units of [0, 1], on the CPU and not clipped; with `normalised` they are as networks are
        trained on them: (pixel - mean) / std, whitened where the memory is. Labels are the query's, or those that were
        learned, which need not sum to 1.

        Raises as `label_vectors` does, and LimitError where that is over `limits`. [RTP] sec. 3, equation of x_i(y).
        """
        labels = None if query is None else label_vectors(query, self.spec)
        limits.require_recall(self.spec.data, self.spec.recalled if labels is None else len(labels) * self.spec.rows)
        asked = Query.everything(self.spec) if labels is None else Query.of_label(self.spec, labels)
        parts = list(asked.chunks(at_once(self.spec, len(asked), mixed=True)))
        whole = [self.memory.recall(part).float() if normalised else pixels(self.memory, part) for part in parts]
        return torch.cat(whole), torch.cat([self.memory.targets(part).float() for part in parts])

    def dataset(self, *, normalised: bool = False, limits: Limits = DEFAULT_LIMITS) -> TensorDataset:
        """All images of the memory as a torch Dataset of (image, label): (C, H, W) float32, and a class number.

        Where labels were learned, a label is a vector (classes,) float32; `torch.nn.functional.cross_entropy` takes
        either. `normalised` is as in `recall`; a network that is trained on pixels is tested on pixels in [0, 1].
        """
        images, labels = self.recall(normalised=normalised, limits=limits)
        return TensorDataset(images, labels if self.spec.labels != "fixed" else labels.argmax(1))


def stored(memory: Memory) -> Memory:
    """`memory` as a reader of its file will see it: float32, rounded to the storage type of its spec, on its device.

    Raises DivergedError where a number is not finite, or beyond MOST_NUMBER, and UsageError where one is not finite
    when it is rounded.
    """
    memory = memory.with_parts({name: part.detach().float() for name, part in memory.parts.items()})
    rounded = memory.rounded()
    for name, part in memory.parts.items():
        if not part.isfinite().all():
            raise DivergedError(f"{name} hold numbers that are not finite", do="Train again, at a lower rate")
        if part.abs().max() > MOST_NUMBER:  # which no reader takes
            raise DivergedError(f"{name} hold numbers beyond {MOST_NUMBER:g}", do="Train again, at a lower rate")
        if not rounded.parts[name].isfinite().all():
            raise UsageError(f"{name} hold numbers too large for {memory.spec.storage}", do="Give `storage` float32")
    return rounded


def read(path: str | Path, limits: Limits = DEFAULT_LIMITS, *, expect_sha256: str | None = None) -> Artifact:
    """The memory file at `path`, its tensors float32 on the CPU.

    Raises MemoryFileError for the refusals of docs/format.md in their order, and where its checksum is not
    `expect_sha256`; LimitError where the file or its recall is over `limits`. Warns as `inspect` does.
    """
    return read_inspected(path, limits, expect_sha256)[1]


def read_inspected(path: str | Path, limits: Limits, expect_sha256: str | None) -> tuple[Inspection, Artifact]:
    """What `inspect` tells, and the memory, from one reading of the file."""
    with container.opened(path, file_bytes=limits.max_file, header_bytes=limits.max_header) as file:
        found, payload = inspected(file, limits, expect_sha256)
    memory = memory_in(file.header, payload, found.manifest.spec)
    return found, Artifact(memory, found.manifest, found.sha256)


def memory_in(header: Header, payload: bytes, spec: MemorySpec) -> Memory:
    """The memory in the bytes of all tensors, which were checked."""
    stored_tensors = container.load(header, payload)
    tensors = quantise.from_payload(stored_tensors, spec.shapes, spec.storage, spec.scaled_axes)
    if spec.support:
        tensors[SUPPORT] = unpacked_support(stored_tensors[SUPPORT], spec)
    return Memory(spec, **tensors, cells=stored_tensors.get(CELLS))


def write(path: str | Path, artifact: Artifact, *, force: bool) -> str:
    """Write `artifact` and return its checksum; the same artifact gives the same bytes.

    Raises as `stored` and `atomic.write_bytes` do.
    """
    memory = stored(artifact.memory)
    tensors = quantise.to_payload(memory.parts, memory.spec.storage, memory.spec.scaled_axes)
    if memory.cells is not None:
        tensors[CELLS] = memory.cells
    if memory.support is not None:
        tensors[SUPPORT] = packed_support(memory.support, memory.spec)
    return container.write(path, tensors, artifact.manifest.to_json(), force=force)
