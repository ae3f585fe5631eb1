"""Figures of benchmarks as panels of an SVG, both axes logarithmic."""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float | None]]  # what is varied, and what was measured; None: it was not
Lines = Mapping[str, Points]  # by what is measured

_COLOURS = ("#1f5fa8", "#c8641e", "#3b8a4a", "#8a4fa0", "#666666", "#a8a01f")
_PANEL, _MARGIN = (300, 190), (70, 60)  # pixels: of a plot area, and left of and above it
_BETWEEN, _COLUMNS, _KEY = 80, 2, 150  # pixels between panels; panels side by side; pixels of a name in the key


def svg(title: str, found: Mapping[str, Lines], down: str) -> str:
    """A panel for each label of a horizontal axis; `down` says what the vertical one is."""
    names = list(dict.fromkeys(name for lines in found.values() for name in lines))
    parts = []
    for i, name in enumerate(names):
        x = _MARGIN[0] + _KEY * i
        parts.append(f'<line x1="{x}" y1="20" x2="{x + 24}" y2="20" stroke="{_colour(names, name)}" stroke-width="2"/>')
        parts.append(f'<text x="{x + 30}" y="24">{escape(name)}</text>')
    for i, (label, lines) in enumerate(found.items()):
        left = _MARGIN[0] + (_PANEL[0] + _BETWEEN) * (i % _COLUMNS)
        top = _MARGIN[1] + (_PANEL[1] + _BETWEEN) * (i // _COLUMNS)
        parts += _panel(lines, label, down, names, left, top)
    columns, rows = min(len(found), _COLUMNS), -(-len(found) // _COLUMNS)
    width = max(_MARGIN[0] + columns * (_PANEL[0] + _BETWEEN) - 50, _MARGIN[0] + _KEY * len(names))
    height = _MARGIN[1] + rows * (_PANEL[1] + _BETWEEN) - 20
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            f'font-size="12"><title>{escape(title)}</title>',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _colour(names: Sequence[str], name: str) -> str:
    return _COLOURS[names.index(name) % len(_COLOURS)]


def _panel(found: Lines, label: str, what: str, names: Sequence[str], left: int, top: int) -> list[str]:
    values = sorted({value for points in found.values() for value, _ in points})
    measured = [number for points in found.values() for _, number in points if number]
    (wide, high), bottom = _PANEL, top + _PANEL[1]
    parts = [f'<rect x="{left}" y="{top}" width="{wide}" height="{high}" fill="none" stroke="#999"/>']
    parts.append(f'<text x="{left + wide / 2}" y="{bottom + 38}" text-anchor="middle">{escape(label)}</text>')
    parts.append(f'<text x="{left}" y="{top - 8}">{escape(what)}</text>')
    if not measured:
        return parts
    ticks = _ticks(min(measured), max(measured))

    def across(value: float) -> float:
        span = math.log(values[-1] / values[0]) or 1.0
        return left + 15 + (wide - 30) * math.log(value / values[0]) / span

    def down(number: float) -> float:
        return bottom - high * math.log(number / ticks[0]) / (math.log(ticks[-1] / ticks[0]) or 1.0)

    for tick in ticks:
        y = down(tick)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + wide}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,.12g}</text>')
    for value in values:
        parts.append(f'<text x="{across(value):.1f}" y="{bottom + 18}" text-anchor="middle">{value:g}</text>')
    for name, points in found.items():
        colour = _colour(names, name)
        places = [(across(value), down(number)) for value, number in points if number]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    return parts


def _ticks(least: float, most: float) -> list[float]:
    """1, 2 and 5 times powers of ten, from the last that is not above `least` to the first that is not below `most`."""
    decades = range(math.floor(math.log10(least)), math.floor(math.log10(most)) + 2)
    ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    first = max(i for i, tick in enumerate(ticks) if tick <= least)
    last = next(i for i, tick in enumerate(ticks) if tick >= most)
    return ticks[first : last + 1]
