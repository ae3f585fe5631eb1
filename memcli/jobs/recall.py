"""Recall a training set from a memory, piece by piece, and write it in a format that others read."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from memcli.errors import UsageError
from memcli.exporters import EXPORTERS, format_of
from memcli.exporters.base import RecalledChunk
from memcli.exporters.png import to_bytes, to_picture
from memcli.files import atomic
from memcli.jobs.device import resolve
from memcli.jobs.opening import MemoryLike, loaded
from memcli.memory.memory import Memory
from memcli.memory.query import parse_query, pieces, pixels
from memcli.progress import Progress, Silent
from memcli.text import printable

_CELL = 32  # pixels: the least side of an image in a preview
_GAP = 2  # pixels between the images of a preview
_SHEET = 4096  # pixels: the longest side of a preview, which holds fewer images where they are large


@dataclass(frozen=True)
class Recalled:
    """What was written: the number of images, the shape (C, H, W) of one, the share of values outside [0, 1]."""

    images: int
    shape: tuple[int, int, int]
    clipped_share: float


def recall(
    artifact: MemoryLike,
    path: str | Path,
    *,
    format: str | None = None,
    queries: str | Sequence[str] = (),
    per_class: int | None = None,
    chunk: int = 256,
    force: bool = False,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Recalled:
    """Write what a memory recalls to `path`, never more than `chunk` images at a time in memory.

    `artifact`: what `load` gives, or a path. `format`: a name in EXPORTERS; None: the one that the suffix of `path`
    means, or "png", a folder. `queries`: texts for `parse_query`, in this order; none: every class. `per_class`: only
    the first rows of each.

    Raises UsageError for an unknown format, query, or more rows than there are, MemoryFileError for a damaged file,
    ExistsError where `path` exists.
    """
    path, queries = Path(path), (queries,) if isinstance(queries, str) else queries
    format = format or format_of(path)
    (artifact,) = loaded(artifact).values()
    place = resolve(device) if isinstance(device, str) else device
    memory, progress = artifact.memory.to(place), progress or Silent()
    spec = memory.spec
    if format not in EXPORTERS:
        raise UsageError(f"unknown format {printable(format)!r}", do=f"Choose `format` from {', '.join(EXPORTERS)}")
    rows = spec.rows if per_class is None else per_class
    if not 1 <= rows <= spec.rows:
        raise UsageError(
            f"{rows} images per class were asked for, and the memory recalls {spec.rows}",
            do=f"Give `per_class` 1 to {spec.rows}",
        )
    labels = torch.stack([parse_query(text, spec) for text in queries]) if queries else None
    total = rows * (len(spec.data.classes) if labels is None else len(labels))
    outside = 0

    def chunks() -> Iterator[RecalledChunk]:
        nonlocal outside
        done = 0
        for query in pieces(spec, labels, rows, total, chunk):
            images = pixels(memory, query)
            outside += int(((images < 0) | (images > 1)).sum())
            yield RecalledChunk(images, query.rows, query.labels, memory.targets(query).float().cpu())
            done += len(query)
            progress.update(done)

    progress.begin("recall", total, "images")
    EXPORTERS[format].export(path, spec.data, chunks(), total, force=force)
    progress.end()
    return Recalled(total, spec.data.shape, outside / (total * spec.data.floats_per_image))


def preview(memory: Memory, path: Path, *, classes: int = 10, columns: int = 12, force: bool = False) -> None:
    """Write a picture of what `memory` recalls: a line for each of the first `classes`, its first rows side by side.

    Images are enlarged by whole pixels to 32 or more a side. Channels that a picture cannot hold are averaged.
    """
    spec = memory.spec
    factor = math.ceil(_CELL / min(spec.data.height, spec.data.width))
    width, height = spec.data.width * factor, spec.data.height * factor
    classes = min(classes, len(spec.data.classes), max(1, _SHEET // (height + _GAP)))
    columns = min(columns, spec.rows, max(1, _SHEET // (width + _GAP)))
    images = pixels(memory, next(pieces(spec, None, columns, classes * columns, classes * columns)))
    if spec.data.channels not in (1, 3):
        images = images.mean(1, keepdim=True)
    size = (columns * (width + _GAP) - _GAP, classes * (height + _GAP) - _GAP)
    sheet = Image.new("RGB", size, "white")
    for number, image in enumerate(to_bytes(images)):
        line, column = divmod(number, columns)
        cell = to_picture(image).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(cell, (column * (width + _GAP), line * (height + _GAP)))
    buffer = io.BytesIO()
    sheet.save(buffer, "png")
    atomic.write_bytes(path, buffer.getvalue(), force=force)
