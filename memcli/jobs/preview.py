"""A picture of what a memory recalls, for people to look at."""

import io
from pathlib import Path

import numpy
import torch

from memcli.data.images import LabelledImages
from memcli.exporters.drawing import Line, contact_sheet, stretched
from memcli.files import atomic
from memcli.memory.memory import Memory
from memcli.memory.query import pieces, pixels

_MEANT = 256  # real images of a class whose mean is drawn, at most


def preview(
    memory: Memory,
    path: str | Path,
    *,
    real: LabelledImages | None = None,
    classes: int = 10,
    columns: int = 12,
    force: bool = False,
) -> None:
    """Write a picture of what `memory` recalls: a line for each of the first `classes`, its first rows side by side.

    With `real` images of the same shape and classes, the mean of each class is drawn beside. Every image is stretched
    to the whole range from black to white on its own, so that contrast says nothing. Raises as `atomic.write_bytes`.
    """
    names = memory.spec.data.classes[:classes]
    columns = min(columns, memory.spec.rows)
    lines = []
    for number, (name, query) in enumerate(
        zip(names, pieces(memory.spec, None, columns, len(names) * columns, columns), strict=True)
    ):
        mean = None if real is None else _mean(real, number)
        lines.append(Line(name, stretched(pixels(memory, query)), mean))
    buffer = io.BytesIO()
    contact_sheet(lines, real="real mean").save(buffer, "png")
    atomic.write_bytes(path, buffer.getvalue(), force=force)


def _mean(real: LabelledImages, number: int) -> numpy.ndarray | None:
    """The mean of the first images of class `number`, (H, W, C); None where there is none."""
    members = torch.nonzero(real.labels == number).flatten()[:_MEANT]
    return stretched(real.images[members].float().mean(0, keepdim=True) / 255)[0] if len(members) else None
