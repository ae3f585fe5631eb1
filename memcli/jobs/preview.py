"""A picture of what a memory recalls, for people to look at."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy
import torch
from torch import Tensor

from memcli.data.images import LabelledImages
from memcli.exporters.drawing import Line, contact_sheet, stretched
from memcli.files import atomic
from memcli.files.queryfile import label_vectors
from memcli.jobs.opening import MemoryLike, loaded
from memcli.memory.cost import at_once
from memcli.memory.memory import Memory, Query
from memcli.memory.query import MOST_STEPS, pixels

_MEANT = 256  # real images of a class whose mean is drawn, at most
_STRIPS = 3  # lines of a query of several label vectors


def preview(
    memory: MemoryLike,
    path: str | Path,
    *,
    queries: str | Sequence[str] = (),
    real: LabelledImages | None = None,
    classes: int = 10,
    columns: int = 12,
    force: bool = False,
) -> None:
    """Write a picture of what `memory` recalls, a PNG: a line for each of the first `classes`, its first rows.

    `queries`: texts for `label_vectors`, each of which has a line in place of the classes; an interpolation, or a file
    of several label vectors, has three, each of one row from vector to vector. With `real` images of the same shape
    and classes, the mean of each class is drawn beside. Every image is stretched to the whole range from black to white
    on its own, so that contrast says nothing.

    Raises as `label_vectors` and `atomic.write_bytes` do.
    """
    (artifact,) = loaded(memory).values()
    spec = artifact.spec
    lines = []
    if queries:
        for text in [queries] if isinstance(queries, str) else queries:
            lines += _lines(artifact.memory, text, label_vectors(text, spec), columns)
    else:
        for number, name in enumerate(spec.data.classes[:classes]):
            (line,) = _lines(artifact.memory, name, label_vectors(number, spec), columns)
            lines.append(line if real is None else replace(line, real=_mean(real, number)))
    buffer = io.BytesIO()
    contact_sheet(lines, real="real mean").save(buffer, "png")
    atomic.write_bytes(path, buffer.getvalue(), force=force)


def _lines(memory: Memory, name: str, labels: Tensor, columns: int) -> list[Line]:
    """One line of the first rows for one label vector; for several (q, classes), lines of one row of each."""
    rows = memory.spec.rows
    if len(labels) == 1:
        few = at_once(memory.spec, min(rows, columns), mixed=True)
        return [Line(name, stretched(pixels(memory, Query(torch.arange(few), labels.expand(few, -1)))))]
    labels = labels[: at_once(memory.spec, MOST_STEPS, mixed=True)]
    strips = [Query(torch.full((len(labels),), row), labels) for row in range(min(rows, _STRIPS))]
    return [Line("" if row else name, stretched(pixels(memory, query))) for row, query in enumerate(strips)]


def _mean(real: LabelledImages, number: int) -> numpy.ndarray | None:
    """The mean of the first images of class `number`, (H, W, C); None where there is none."""
    members = torch.nonzero(real.labels == number).flatten()[:_MEANT]
    return stretched(real.images[members].float().mean(0, keepdim=True) / 255)[0] if len(members) else None
