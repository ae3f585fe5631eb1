"""Recall a training set from a memory, piece by piece, and write it in a format that others read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from memcli.errors import UsageError
from memcli.exporters import EXPORTERS, Exporter, format_of
from memcli.exporters.base import PictureExporter, RecalledChunk
from memcli.exporters.encoding import ENCODINGS, Encoding
from memcli.files import atomic
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.queryfile import Asked, label_vectors
from memcli.jobs import budget
from memcli.jobs.device import resolve
from memcli.jobs.opening import MemoryLike, loaded
from memcli.memory.cost import at_once
from memcli.memory.memory import Memory, Query
from memcli.memory.query import mixed, pieces, pixels
from memcli.memory.spec import MemorySpec
from memcli.progress import Progress, Silent
from memcli.text import printable


@dataclass(frozen=True)
class Recalled:
    """What was written."""

    format: str
    images: int
    shape: tuple[int, int, int]  # (C, H, W) of one
    clipped_share: float  # of all values, those outside [0, 1]
    encoding: Encoding | None  # what the 8-bit numbers of pictures stand for; None: values were written as they are


def recall(
    artifact: MemoryLike,
    path: str | Path,
    *,
    format: str | None = None,
    encode: str | None = None,
    queries: Asked | Sequence[Asked] = (),
    per_class: int | None = None,
    chunk: int = 256,
    force: bool = False,
    device: str | torch.device = "cpu",
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> Recalled:
    """Write what a memory recalls to `path`, never more than `chunk` images, or 1 GiB, at a time in memory.

    `artifact`: what `load` gives, or a path. `format`: a name in EXPORTERS; None: the one that the suffix of `path`
    means, or "png", a folder, where it has none or ends in a slash. `encode`, of a format of pictures: "clip", which is
    the default, clips values to [0, 1]; "range" keeps all (memcli.exporters.encoding). `queries`: one or a list,
    each as `label_vectors` takes it, in this order; none: every class. `per_class`: only the first rows of each.

    Raises UsageError for an unknown format, encoding or query, or more rows than there are, MemoryFileError for a
    damaged file, LimitError where the file, or what it asks for, is over `limits` or the disk has no room,
    ExistsError where `path` exists. A folder is replaced by `force` only where memcli wrote all in it.
    """
    if isinstance(artifact, str | Path):
        atomic.check_apart(path, artifact)
    format = format or format_of(path)
    exporter, encoding = _exporter(format, encode), None
    (artifact,) = loaded(artifact, limits).values()
    spec, place = artifact.spec, resolve(device) if isinstance(device, str) else device
    labels, rows = _asked(queries, spec), _rows(per_class, spec)
    chunk = at_once(spec, chunk, mixed=labels is not None and mixed(labels))
    budget.require_recall(spec, exporter, path, labels, rows, chunk, limits, place)
    whole = _Recall(artifact.memory.to(place), labels, rows, chunk, progress or Silent())
    if isinstance(exporter, PictureExporter):
        if encode == "range":
            exporter = exporter.encoded(Encoding.range(images for _, images in whole.pieces("range of values")))
        encoding = exporter.encoding_of(spec.data)
    outside = 0

    def chunks() -> Iterator[RecalledChunk]:
        nonlocal outside
        for query, images in whole.pieces("recall"):
            outside += sum(map(numpy.count_nonzero, (images.numpy() < 0, images.numpy() > 1)))
            yield RecalledChunk(images, query.rows, query.labels, whole.memory.targets(query).float().cpu())

    exporter.export(Path(path), spec.data, chunks(), whole.total, force=force, memory_sha256=artifact.sha256)
    share = outside / (whole.total * spec.data.floats_per_image)
    return Recalled(format, whole.total, spec.data.shape, share, encoding)


@dataclass(frozen=True)
class _Recall:
    """What is recalled, as often as it is asked for."""

    memory: Memory
    labels: Tensor | None  # (q, classes), the label vectors that were asked for; None: every class
    rows: int  # images of each
    chunk: int  # images at a time
    progress: Progress

    @property
    def total(self) -> int:
        return self.rows * (len(self.memory.spec.data.classes) if self.labels is None else len(self.labels))

    def pieces(self, title: str) -> Iterator[tuple[Query, Tensor]]:
        """Queries and their pixels, (n, C, H, W) float32 on the CPU."""
        self.progress.begin(title, self.total, "images")
        done = 0
        for query in pieces(self.memory.spec, self.labels, self.rows, self.total, self.chunk):
            yield query, pixels(self.memory, query)
            done += len(query)
            self.progress.update(done)
        self.progress.end()


def _asked(queries: Asked | Sequence[Asked], spec: MemorySpec) -> Tensor | None:
    several: Sequence[Any] = queries if isinstance(queries, list | tuple) else [queries]
    return torch.cat([label_vectors(query, spec) for query in several]) if len(several) else None


def _rows(per_class: int | None, spec: MemorySpec) -> int:
    rows = spec.rows if per_class is None else per_class
    if not 1 <= rows <= spec.rows:
        raise UsageError(
            f"{rows} images per class were asked for, and the memory recalls {spec.rows}",
            do=f"Give `per_class` 1 to {spec.rows}",
        )
    return rows


def _exporter(format: str, encode: str | None) -> Exporter:
    """The exporter of that name, which can write values as `encode` says."""
    exporter = EXPORTERS.find(format)
    if encode not in (None, *ENCODINGS):
        raise UsageError(
            f"there is no encoding {printable(encode)!r}", do=f"Choose `encode` from {', '.join(ENCODINGS)}"
        )
    if encode is not None and not isinstance(exporter, PictureExporter):
        raise UsageError(f"{printable(format)} writes values as they are", do="Leave out `encode`")
    return exporter
