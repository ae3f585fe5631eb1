"""The charts of a report as SVG inside the page, which take their colours from its style, and so fit the dark too."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from memcli.reports.images import Picture

Point = tuple[float, float]

_WIDTH, _HEIGHT = 440, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 24, 12, 40  # pixels around the plotted area
_MOST_POINTS = 300  # of a curve: more are not seen


@dataclass(frozen=True)
class Axis:
    """One side of a chart: from `low` to `high`, with marks where they are named."""

    low: float
    high: float
    marks: tuple[tuple[float, str], ...]
    title: str
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where `value` lies, from 0 at `low` to 1 at `high`."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def even(values: Sequence[float], title: str, *, percent: bool = False) -> Axis:
    """An axis of about five round marks around `values`; as per cent, those are shares of 1, and it stays within."""
    low, high = min(values), max(values)
    span = max(high - low, 0.02 if percent else 1e-3 * max(abs(high), 1e-9))
    step = next(
        step
        for power in range(math.floor(math.log10(span)) - 1, 400)
        for step in (10.0**power, 2 * 10.0**power, 5 * 10.0**power)
        if span / step <= 5
    )
    first, last = math.floor(low / step), math.ceil(high / step)
    if percent:
        last = min(max(last, 1), round(1 / step))
        first = max(min(first, last - 1), 0)
    last = max(last, first + 1)
    marks = (number * step for number in range(first, last + 1))
    return Axis(
        first * step,
        last * step,
        tuple((mark, f"{100 * mark:.4g} %" if percent else _brief(mark)) for mark in marks),
        title,
    )


def powers(values: Sequence[float], title: str) -> Axis:
    """An axis with a mark at each power of ten around `values`, all of them above 0."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    every = max(1, (high - low) // 5)
    marks = tuple((10.0**power, _brief(10.0**power)) for power in range(low, high + 1, every))
    return Axis(10.0**low, 10.0**high, marks, title, logarithmic=True)


def curve(points: Sequence[Point], across: Axis, up: Axis, alt: str, bounds: Sequence[float] = ()) -> Markup:
    """A line through `points` (x, y), with an upright line at each of `bounds`."""
    few = points[:: math.ceil(len(points) / _MOST_POINTS)]
    few = [*few, points[-1]] if few[-1] != points[-1] else few
    placed = [_placed(point, across, up) for point in few]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    drawn = [_upright(_placed((bound, up.low), across, up)[0]) for bound in bounds]
    drawn.append(Markup('<polyline class="curve" points="{}"/>').format(line))
    drawn.append(Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(*placed[-1]))
    return _chart(across, up, alt, drawn)


@dataclass(frozen=True)
class Mark:
    """One thing in a scatter chart: a point, or without an x a level line."""

    name: str
    x: float | None
    y: float
    spread: float = 0.0  # drawn as a line up and down
    strong: bool = False


def scatter(marks: Sequence[Mark], across: Axis, up: Axis, alt: str) -> Markup:
    """A dot with its name for each of `marks`, and a level line for one without an x."""
    drawn = []
    for mark in marks:
        kind = "strong" if mark.strong else "plain"
        x, y = _placed((across.low if mark.x is None else mark.x, mark.y), across, up)
        if mark.x is None:
            drawn.append(
                Markup('<line class="level" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
                    _LEFT, _WIDTH - _RIGHT, y, y
                )
            )
            drawn.append(_text(_LEFT + 6, y - 5, mark.name, "start", kind))
            continue
        ends = [
            _placed((mark.x, min(max(mark.y + side * mark.spread, up.low), up.high)), across, up)[1] for side in (-1, 1)
        ]
        drawn.append(
            Markup('<line class="spread" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>').format(x, *ends)
        )
        drawn.append(Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="5"/>').format(kind, x, y))
        right = x < _WIDTH / 2
        drawn.append(_text(x + (9 if right else -9), y + 4, mark.name, "start" if right else "end", kind))
    return _chart(across, up, alt, drawn)


def labelled(picture: Picture, names: Sequence[str]) -> Markup:
    """A map with the name of each of its lines, where there are few enough to be read."""
    height = max(4, min(24, 1200 // picture.height))  # of a line
    across, down = picture.width * height, picture.height * height
    left = 8 * max(map(len, names)) + 8 if height >= 14 else 0
    head = Markup('<svg class="chart map" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">')
    image = Markup('<image href="{}" x="{}" width="{}" height="{}" preserveAspectRatio="none"/>')
    texts = [_text(left - 8, (line + 0.5) * height + 4, name, "end") for line, name in enumerate(names) if left]
    parts = [head.format(left + across, down, picture.alt), image.format(picture.uri, left, across, down), *texts]
    return Markup("").join([*parts, Markup("</svg>")])


def _placed(point: Point, across: Axis, up: Axis) -> Point:
    """Where a point of the data lies in the picture."""
    x = _LEFT + across.share(point[0]) * (_WIDTH - _LEFT - _RIGHT)
    return x, _HEIGHT - _BOTTOM - up.share(point[1]) * (_HEIGHT - _TOP - _BOTTOM)


def _chart(across: Axis, up: Axis, alt: str, drawn: Sequence[Markup]) -> Markup:
    grid = []
    for value, name in up.marks:
        y = _placed((across.low, value), across, up)[1]
        grid.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(_LEFT, _WIDTH - _RIGHT, y, y)
        )
        grid.append(_text(_LEFT - 7, y + 4, name, "end"))
    for value, name in across.marks:
        x = _placed((value, up.low), across, up)[0]
        grid.append(_text(x, _HEIGHT - _BOTTOM + 17, name, "middle"))
    grid.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, across.title, "middle", "title"))
    inside = Markup("").join([*grid, *drawn])
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, _HEIGHT, alt)
    return head + inside + Markup("</svg>")


def _upright(x: float) -> Markup:
    return Markup('<line class="bound" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(
        x, _TOP, _HEIGHT - _BOTTOM
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)


def _brief(number: float) -> str:
    """3, 0.5, 20 k, 1 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= size:
            return f"{number / size:.4g}{unit}"
    return f"{number:.4g}"
