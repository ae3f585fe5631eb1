"""Time and memory of memcli's outer step, beside what a PyTorch user would write, or install, instead.

    python examples/benchmarks/bench_engine.py                        # widths 32, 128; batches 20, 100; T 10, 30, 100
    python examples/benchmarks/bench_engine.py --widths 32 --batches 20 --steps 30 --json
    python examples/benchmarks/bench_engine.py --cost --plot docs/performance.svg  # against T, batch, width and classes
    python examples/benchmarks/bench_engine.py --paper --device cuda  # the paper's CIFAR-10 step

An outer step: draw a fresh ConvNet-3, train it for T steps of SGD with momentum on recalled images of 3x32x32, and
differentiate its loss on real images with respect to the memory. Every method does all of it, from the same draws, in a
process of its own; the processes of a cell take turns, step by step, so that a busy machine slows all of them alike.
The gradients are compared. How to read the tables: docs/performance.md. This file is the command; the methods, the
processes and the tables are in outer_step/.
"""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from outer_step.cell import FLOAT32, PRECISIONS, Cell, Row
from outer_step.comparison import TOLERANCE, disagreeing
from outer_step.gauges import free_gb, machine
from outer_step.methods import METHODS, competitors, own_precision
from outer_step.serving import serve
from outer_step.tables import cost_tables, fill, marks, paper_table, plot, tables
from outer_step.workers import Limits, measure


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--cost", action="store_true", help="time against T, batch, width and classes, one at a time")
    mode.add_argument("--paper", action="store_true", help="T = 150, 320 images, width 128, 640 real; each precision")
    mode.add_argument("--one", metavar="CELL", help=argparse.SUPPRESS)
    for name in ("widths", "batches", "steps", "classes"):
        parser.add_argument(f"--{name}", type=int, nargs="+", metavar="N")
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD", help=f"of {', '.join(METHODS)}")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--repeats", type=int, default=3, help="timed steps after the warm-up; the median is shown")
    parser.add_argument("--max-seconds", type=float, default=300, help="that a method may take for all steps of a cell")
    parser.add_argument(
        "--max-gb", type=float, help="that a method may add in memory (CPU; default 80%% of what is free)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, and no tables")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep rows in FILE, and go on where it ends")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also put the tables into their place in FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="with --cost: write the plot, an SVG, to FILE")
    given = parser.parse_args(argv)
    defaults: dict[str, list[Any]] = {
        "widths": [32, 128],
        "batches": [20, 100],
        "steps": [10, 30, 100],
        "classes": [10],
    }
    ours = ["memcli", FLOAT32] if own_precision("memcli", given.device) == "bf16" else ["memcli"]
    methods = [*ours, "unroll", "higher", "torchopt"]
    given.place = "cost" if given.cost else "paper" if given.paper else "tables"
    if given.cost:
        defaults = {"widths": [16, 32, 64, 128], "batches": [20, 50, 100, 200], "steps": [5, 10, 20, 40]}
        defaults["classes"], methods = [2, 5, 10, 20, 50, 100], [*ours, "unroll"]
    elif given.paper:
        defaults, methods = {"widths": [128], "batches": [320], "steps": [150], "classes": [10]}, ["memcli"]
        if given.device == "cuda":
            methods = ["memcli:eager", "memcli"]  # captured steps are ready long before compiled ones
    for name, default in {**defaults, "methods": methods}.items():
        setattr(given, name, getattr(given, name) or default)
    if min(*given.widths, *given.batches, *given.steps, *given.classes, given.repeats) < 1:
        parser.error("sizes and repeats must be 1 or more")
    if given.plot and not given.cost:
        parser.error("--plot belongs to --cost")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device")
    if given.markdown and not (
        given.markdown.is_file() and all(mark in given.markdown.read_text() for mark in marks(given.place))
    ):
        parser.error(f"{given.markdown} is no file with the marks {' and '.join(marks(given.place))}")
    uneven = next((c for c in cells(given) if c.batch % c.classes), None) if not given.one else None
    if uneven:
        parser.error(f"a batch of {uneven.batch} does not divide into {uneven.classes} classes")
    return given


def base_cell(given: argparse.Namespace) -> Cell:
    """What --cost varies one thing at a time from; the first that is asked for where the usual value is not."""
    usual: dict[str, Any] = {"width": 32, "batch": 100, "steps": 10, "classes": 10}
    asked = {"width": given.widths, "batch": given.batches, "steps": given.steps, "classes": given.classes}
    chosen = {name: value if value in asked[name] else asked[name][0] for name, value in usual.items()}
    return replace(Cell(1, 1, 1, device=given.device), **chosen)


def cells(given: argparse.Namespace) -> list[Cell]:
    """What is measured, each with every method, in this order."""
    if not given.cost:
        real = 640 if given.paper else 100
        sizes = itertools.product(given.widths, given.batches, given.steps, given.classes)
        return [Cell(*size, real=real, device=given.device) for size in sizes]
    base = base_cell(given)
    axes = {"steps": given.steps, "batch": given.batches, "width": given.widths, "classes": given.classes}
    return list(dict.fromkeys(replace(base, **{axis: value}) for axis, values in axes.items() for value in values))


def turns(given: argparse.Namespace) -> Iterator[tuple[Cell, list[str]]]:
    """Each cell with the methods that take turns: all of them; for the paper's step, each alone in its precisions."""
    for cell in cells(given):
        for methods in [[method] for method in given.methods] if given.paper else [given.methods]:
            yield cell, methods


def kept(file: Path | None) -> list[Row]:
    """The rows of earlier runs, from lines of JSON; none where there is no file yet."""
    if file is None or not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def main(argv: list[str] | None = None) -> int:
    """0; or 1 where a gradient differs from that of the plain unroll."""
    given = arguments(argv)
    limits = Limits(given.repeats, given.max_seconds, given.max_gb or free_gb())
    if given.one:
        serve(Cell(**json.loads(given.one)), limits.gb)
        return 0
    rows, earlier = list[Row](), kept(given.keep)
    for cell, methods in turns(given):
        asked = competitors(cell, methods, PRECISIONS if given.paper else ())
        known = {way: row for way in asked for row in earlier if asdict(way).items() <= row.items()}
        if len(known) == len(asked):
            rows += known.values()
            continue
        found = measure(asked, limits, paper=given.paper)
        for row in found:
            error = row.get("error")
            said = row.get("reason") or f"{row['seconds']:.3f} s, {row['peak_mb']:.0f} MB"
            said += (
                ""
                if error is None or row["method"] == "unroll"
                else f", gradient differs by {error:.1e} (over all T {row['drift']:.1e})"
            )
            where = f"width {row['width']}, batch {row['batch']}, T = {row['steps']}, {row['classes']} classes"
            print(f"{where}, {row['method']} ({row['precision']}): {said}", file=sys.stderr, flush=True)
        rows += found
        if given.keep:
            with given.keep.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in found)
    if given.plot:
        given.plot.write_text(plot(rows, base_cell(given)), encoding="utf-8")
    if given.json:
        print(json.dumps({"rows": rows}))
    if given.markdown or not given.json:
        body = {"cost": lambda: cost_tables(rows, base_cell(given)), "paper": lambda: paper_table(rows)}
        text = f"{machine(given.device)}\n\n{body.get(given.place, lambda: tables(rows))()}"
        if given.plot and given.markdown:
            text += f"\n\n![Seconds of an outer step]({os.path.relpath(given.plot, given.markdown.parent)})"
        if not given.json:
            print(text)
        if given.markdown:
            fill(given.markdown, given.place, text)
    if wrong := disagreeing(rows):
        print(f"{len(wrong)} gradients differ by more than {TOLERANCE:g}, relatively", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
