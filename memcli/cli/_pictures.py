"""Pictures on a terminal: half blocks, each of which shows two pixels, one above the other."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import ndarray
    from rich.console import Console
    from rich.text import Text

    from memcli.memory.memory import Memory

_SIDE = 16  # pixels: larger images are made smaller
_MOST = 40  # classes
_GAP = 2  # columns between images


def can_draw() -> bool:
    """Whether stdout is a terminal that shows colours, and the user has not asked for none."""
    from rich.console import Console

    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and Console().color_system in ("truecolor", "256")


def draw(memory: "Memory", console: "Console") -> None:
    """Print the first recalled image of each of the first classes, as many side by side as the console holds."""
    import torch
    from rich.cells import set_cell_size

    from memcli.exporters.drawing import stretched
    from memcli.memory.cost import at_once
    from memcli.memory.memory import Query
    from memcli.memory.query import pixels
    from memcli.text import printable

    names = [printable(name) for name in memory.spec.data.classes[: at_once(memory.spec, _MOST)]]
    numbers = torch.arange(len(names))
    query = Query.of_classes(torch.zeros_like(numbers), numbers, len(memory.spec.data.classes))
    pictures = [half_blocks(image) for image in stretched(pixels(memory, query))]
    width = len(pictures[0][0]) + _GAP
    across = max(1, console.width // width)
    for begin in range(0, len(names), across):
        console.print()
        for parts in zip(*pictures[begin : begin + across], strict=True):
            for part in parts:
                console.print(part, end=" " * _GAP, no_wrap=True, crop=False, soft_wrap=True)
            console.print()
        line = (" " * _GAP).join(set_cell_size(name, width - _GAP) for name in names[begin : begin + across])
        console.print(line.rstrip(), markup=False, highlight=False, no_wrap=True)
    if len(memory.spec.data.classes) > len(names):
        console.print(f"and {len(memory.spec.data.classes) - len(names)} classes more", highlight=False)


def half_blocks(image: "ndarray") -> "list[Text]":
    """Lines for an image (H, W, C) of uint8, C being 1 or 3, that is made smaller where a side is over _SIDE pixels."""
    import numpy
    from PIL import Image
    from rich.text import Text

    from memcli.exporters.encoding import to_picture

    picture = to_picture(image).convert("RGB")
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    rows = numpy.asarray(picture).tolist()
    rows += [rows[-1]] * (len(rows) % 2)  # of an odd number the last is shown twice
    lines = []
    for above, below in zip(rows[::2], rows[1::2], strict=True):
        styles = (f"{_colour(upper)} on {_colour(lower)}" for upper, lower in zip(above, below, strict=True))
        lines.append(Text.assemble(*(("▀", style) for style in styles)))
    return lines


def _colour(pixel: list[int]) -> str:
    return f"rgb({','.join(map(str, pixel))})"
