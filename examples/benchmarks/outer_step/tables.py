"""Tables and the plot."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import panels

from outer_step.cell import Cell, Row
from outer_step.problem import Problem

AXES = {"steps": "T", "batch": "images in an inner step", "width": "width", "classes": "classes"}


def table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---:"] * len(head), *lines))


def shown(number: float | None, digits: int = 3) -> str:
    if number is None:
        return "-"
    return f"{number:.{max(digits - 1 - math.floor(math.log10(abs(number))), 0)}f}" if number else "0"


def ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def largest(numbers: Iterable[float | None]) -> float | None:
    """Of those that are known; None where none is."""
    return max((number for number in numbers if number is not None), default=None)


def grouped(rows: list[Row], keys: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Row]]:
    """The rows by the values of `keys`, then by method."""
    groups: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), {})[row["method"]] = row
    return groups


def tables(rows: list[Row]) -> str:
    """Time and memory, memory added by an inner step, and operations, each with the methods side by side."""
    methods, keys = list(dict.fromkeys(row["method"] for row in rows)), ("width", "batch", "steps", "classes")
    head, groups = ["width", "batch", "T", "classes"], grouped(rows, keys)
    others = [method for method in methods if method != "unroll"] if "unroll" in methods else []

    def side_by_side(cells: Callable[[dict[str, Row]], list[float | None]]) -> list[list[str]]:
        return [[*map(str, key), *map(shown, cells(group))] for key, group in groups.items()]

    main = table(
        [*head, *(f"{m}, s" for m in methods), *(f"{m}, MB" for m in methods), *(f"{m} ÷ unroll" for m in others)],
        side_by_side(
            lambda group: [
                *(group[m]["seconds"] for m in methods),
                *(group[m]["peak_mb"] for m in methods),
                *(ratio(group[m]["seconds"], group["unroll"]["seconds"]) for m in others),
            ]
        ),
    )
    in_bf16 = {row["method"] for row in rows if row["precision"] == "bf16"}
    rounded, exact = [m for m in others if m in in_bf16], [m for m in others if m not in in_bf16]
    differences = [("difference", exact, "error"), ("over all T", exact, "drift")]
    differences += [(f"{method}, {title}", [method], name) for method in rounded for title, _, name in differences[:2]]
    titles = [title for title, _, _ in differences]
    counted = table(
        [*head, *(f"{m}, Gflop" for m in methods), *(f"{m}, Gflop/s" for m in methods), *titles],
        side_by_side(
            lambda group: [
                *(group[m].get("gflop") for m in methods),
                *(ratio(group[m].get("gflop"), group[m]["seconds"]) for m in methods),
                *(largest(group[m].get(name) for m in some) for _, some, name in differences),
            ]
        ),
    )
    return "\n\n".join([main, *added_by_a_step(rows), counted, *reasons(rows)])


def added_by_a_step(rows: list[Row]) -> list[str]:
    """A table of the memory that one more inner step takes, between the least and the largest T; or nothing."""
    points: dict[tuple[Any, ...], list[tuple[int, float]]] = {}
    for row in rows:
        if row["peak_mb"] is not None:
            key = tuple(row[name] for name in ("width", "batch", "classes", "method"))
            points.setdefault(key, []).append((row["steps"], row["peak_mb"]))
    lines = []
    for (width, batch, classes, method), found in points.items():
        (few, least), (many, most) = min(found), max(found)
        if few < many:
            network = Problem(Cell(width, batch, 1, classes)).network()
            weights = sum(param.numel() for param in network.parameters()) * 4 / 1e6
            per_step = (most - least) / (many - few)
            lines.append([str(width), str(batch), method, *map(shown, (per_step, weights, per_step / weights))])
    head = ["width", "batch", "method", "MB for one more step", "weights, MB", "÷ weights"]
    return [table(head, lines)] if lines else []


def reasons(rows: list[Row]) -> list[str]:
    """One line for each reason why a cell is empty."""
    why: dict[str, list[str]] = {}
    for row in rows:
        if row["seconds"] is None:
            where = f"width {row['width']}, batch {row['batch']}, T = {row['steps']}"
            why.setdefault(f"{row['method']} ({row['precision']}): {row['reason']}", []).append(where)
    return (
        ["\n".join(f"- Not measured: {reason}, at {'; '.join(where)}" for reason, where in why.items())] if why else []
    )


def series(rows: list[Row], base: Cell, axis: str) -> dict[str, list[tuple[int, float | None]]]:
    """Of each method the (value on the axis, seconds) of the cells that differ from `base` on this axis only."""
    found: dict[str, list[tuple[int, float | None]]] = {}
    for row in rows:
        if all(row[other] == getattr(base, other) for other in AXES if other != axis):
            found.setdefault(row["method"], []).append((row[axis], row["seconds"]))
    return {method: sorted(points) for method, points in found.items()}


def cost_tables(rows: list[Row], base: Cell) -> str:
    parts = []
    for axis, label in AXES.items():
        found = series(rows, base, axis)
        values = [value for value, _ in next(iter(found.values()))]
        seconds = [dict(points) for points in found.values()]
        lines = [[str(value), *(shown(times[value]) for times in seconds)] for value in values]
        parts.append(table([label, *(f"{method}, s" for method in found)], lines))
    fixed = ", ".join(f"{label} {getattr(base, axis)}" for axis, label in AXES.items())
    return "\n\n".join([f"One thing at a time is varied from: {fixed}.", *parts, *reasons(rows)])


def plot(rows: list[Row], base: Cell) -> str:
    """The same as four panels of an SVG."""
    found = {label: series(rows, base, axis) for axis, label in AXES.items()}
    return panels.svg("Seconds of an outer step", found, "seconds of an outer step")


def paper_table(rows: list[Row]) -> str:
    head = ["method", "precision", "T", "width", "images", "s", "warm-up, s", "MB", "Gflop", "TFLOP/s", "to float64"]
    lines = []
    for row in rows:
        rate = ratio(row.get("gflop"), row["seconds"])
        figures = [row["seconds"], row.get("first_seconds"), row["peak_mb"], row.get("gflop")]
        figures += [rate / 1000 if rate else None, row.get("error64")]
        words = [row["method"], row["precision"], str(row["steps"]), str(row["width"]), str(row["batch"])]
        lines.append([*words, *map(shown, figures)])
    return "\n\n".join([table(head, lines), *reasons(rows)])


def fill(page: Path, place: str, text: str) -> None:
    """Put `text` between the marks of `place` in a page that has them."""
    begin, end = marks(place)
    before, rest = page.read_text(encoding="utf-8").split(begin)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")


def marks(place: str) -> tuple[str, str]:
    return f"<!-- {place}: begin -->", f"<!-- {place}: end -->"
