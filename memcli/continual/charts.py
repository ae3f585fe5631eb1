"""Pictures of a run as SVG: the matrix as a heat map, and accuracy along the stream as curves."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

Matrix = Sequence[Sequence[float | None]]

_SIDE, _EDGE = 480, 50  # of the plotted square, and of the margin around it, in pixels
_LOW, _HIGH = (247, 251, 255), (8, 48, 107)  # the colours of accuracies 0 and 1
_COLOURS = ("#08306b", "#d94801", "#238b45", "#737373")


def heat_map(matrix: Matrix, title: str) -> str:
    """A cell for each network (row, after which task) and task (column): the darker, the more accurate."""
    tasks = len(matrix)
    cell = _SIDE / tasks
    cells = [
        f'<rect x="{_EDGE + column * cell:.2f}" y="{_EDGE + row * cell:.2f}" width="{cell:.2f}" height="{cell:.2f}" '
        f'fill="{_colour(value)}"><title>after task {row}, task {column}: {value:.4f}</title></rect>'
        for row, line in enumerate(matrix)
        for column, value in enumerate(line)
        if value is not None
    ]
    return _page(title, "task", "after task", [*cells, *_numbers(tasks)])


def curves(lines: Mapping[str, Sequence[float | None]], title: str) -> str:
    """A line for each name: accuracies in [0, 1] by the number of the task, with a gap where a value is None."""
    drawn = []
    for index, (name, values) in enumerate(lines.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        points = [_point(number, value, len(values)) for number, value in enumerate(values)]
        drawn += [
            f'<line x1="{left[0]:.2f}" y1="{left[1]:.2f}" x2="{right[0]:.2f}" y2="{right[1]:.2f}" stroke="{colour}"/>'
            for left, right in pairwise(points)
            if left and right
        ]
        drawn += [f'<circle cx="{p[0]:.2f}" cy="{p[1]:.2f}" r="2" fill="{colour}"/>' for p in points if p]
        at = _EDGE + _SIDE - 12 - 16 * index
        drawn.append(f'<text x="{_EDGE + 8}" y="{at}" fill="{colour}">{escape(name)}</text>')
    grid = []
    for tenth in range(0, 11, 2):
        y = _EDGE + _SIDE * (1 - tenth / 10)
        grid.append(f'<line x1="{_EDGE}" y1="{y:.2f}" x2="{_EDGE + _SIDE}" y2="{y:.2f}" stroke="#ddd"/>')
        grid.append(f'<text x="{_EDGE - 6}" y="{y + 4:.2f}" text-anchor="end">{tenth / 10:g}</text>')
    return _page(title, "task", "accuracy", [*grid, *drawn])


def _point(number: int, value: float | None, count: int) -> tuple[float, float] | None:
    if value is None:
        return None
    return _EDGE + _SIDE * (number + 0.5) / count, _EDGE + _SIDE * (1 - value)


def _colour(value: float) -> str:
    """Between white and dark blue, for an accuracy in [0, 1]."""
    mixed = (round(low + (high - low) * value) for low, high in zip(_LOW, _HIGH, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def _numbers(tasks: int) -> list[str]:
    """Task numbers along both axes, at most about ten of them."""
    cell, every = _SIDE / tasks, max(1, -(-tasks // 10))
    return [
        line
        for task in range(0, tasks, every)
        for line in (
            f'<text x="{_EDGE + (task + 0.5) * cell:.2f}" y="{_EDGE + _SIDE + 14}" text-anchor="middle">{task}</text>',
            f'<text x="{_EDGE - 6}" y="{_EDGE + (task + 0.5) * cell + 4:.2f}" text-anchor="end">{task}</text>',
        )
    ]


def _page(title: str, across: str, down: str, parts: list[str]) -> str:
    size, middle = _SIDE + 2 * _EDGE, _EDGE + _SIDE / 2
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" font-family="sans-serif" '
            'font-size="12">',
            f'<rect width="{size}" height="{size}" fill="white"/>',
            f'<text x="{middle}" y="24" text-anchor="middle" font-size="15">{escape(title)}</text>',
            f'<text x="{middle}" y="{size - 12}" text-anchor="middle">{escape(across)}</text>',
            f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{escape(down)}</text>',
            *parts,
            "</svg>\n",
        ]
    )
