"""Many cells, their processes taking turns."""

import json
import math
import select
import statistics
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from outer_step.cell import Cell, Row
from outer_step.comparison import decoded, relative
from outer_step.methods import unavailable

COMMAND = Path(__file__).resolve().parents[1] / "bench_engine.py"  # with --one it is the process of a cell
SETUP_SECONDS = 600  # for a process to import torch and build its problem


@dataclass(frozen=True)
class Limits:
    repeats: int  # timed outer steps, after one that is not
    seconds: float  # that a method may spend on a cell
    gb: float  # that a method may add on a cell, in a CPU's memory


class Worker:
    """The process of one cell. Once it has failed, `reason` says why, and it is asked nothing more."""

    def __init__(self, cell: Cell, limits: Limits) -> None:
        self.cell, self._limits = cell, limits
        self.times, self.peak = list[float](), math.nan
        self._left = limits.seconds
        self.reason = unavailable(cell)
        if self.reason is None:
            command = [sys.executable, str(COMMAND), "--one", json.dumps(asdict(cell)), "--max-gb", str(limits.gb)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ready(self) -> None:
        self._answer(SETUP_SECONDS)

    def step(self) -> None:
        """One more step, unless there is no time for it. The first is the warm-up."""
        if len(self.times) > 1 and self.times[-1] > self._left:
            return
        self.begin("step")
        self.end_step()

    def end_step(self) -> None:
        """Wait for the step that was begun."""
        answer = self._answer(self._left)
        if answer:
            self.times.append(answer["seconds"])
            self.peak, self._left = answer["peak_mb"], self._left - answer["seconds"]

    def ask(self, what: str) -> Row:
        """Its answer; nothing once it has failed."""
        self.begin(what)
        return self._answer(SETUP_SECONDS)

    def begin(self, what: str) -> None:
        """Ask, and do not wait for the answer."""
        if self.reason is not None:
            return
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: reading its answer finds out why
            print(what, file=self._process.stdin, flush=True)

    def _answer(self, seconds: float) -> Row:
        if self.reason is not None:
            return {}
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], max(seconds, 0))
        line = self._process.stdout.readline() if readable else ""
        found: Row = json.loads(line) if line else {}
        if not readable:
            self.reason = f"more than {self._limits.seconds:g} s"
        elif not line:
            code = self._process.wait()
            self.reason = f"the process was killed by signal {-code}" if code < 0 else f"it failed with code {code}"
        else:
            self.reason = found.get("reason")
        if self.reason is not None:
            self.close()
            return {}
        return found

    def close(self) -> None:
        if hasattr(self, "_process"):
            self._process.kill()
            self._process.communicate()

    def row(self) -> Row:
        """What was measured. `seconds` and `peak_mb` are null, with a reason, where no step was timed."""
        cell, timed = self.cell, self.times[1:]
        row = {"network": cell.network, **asdict(cell), "seconds": None, "peak_mb": None}
        if not timed:
            return {**row, "reason": self.reason or "there was no time for a step after the warm-up"}
        found = {"seconds": statistics.median(timed), "peak_mb": round(self.peak, 1)}
        return {**row, **found, "repeats": len(timed), "first_seconds": self.times[0]}


def measure(cells: list[Cell], limits: Limits, paper: bool = False) -> list[Row]:
    """One row for each of some cells that differ by method and precision only, their processes taking turns.

    `error` is the relative difference from the plain unroll's gradient over at most COMPARED inner steps, `drift` that
    over all of them. Where the plain unroll is not measured in a method's precision, it is that in float32.
    With `paper` all warm up at once, since compiling takes a minute each, and the rows also have the error against
    float64, on a smaller problem.
    """
    workers = [Worker(cell, limits) for cell in cells]
    try:
        for worker in workers:
            worker.ready()
        if paper:
            for worker in workers:
                worker.begin("step")
            for worker in workers:
                worker.end_step()
        for _ in range(limits.repeats + (not paper)):
            for worker in workers:
                worker.step()
        rows = [worker.row() for worker in workers]
        for worker, row in zip(workers, rows, strict=True):
            row.update(worker.ask("operations") if worker.times[1:] else {})
            if paper and row["seconds"]:  # at once: what is left to ask takes as long again
                speed = f"{row['gflop'] / row['seconds'] / 1000:.3g} TFLOP/s"
                said = f"{row['method']} ({row['precision']}): {row['seconds']:.3f} s, {speed}"
                print(said, file=sys.stderr, flush=True)
        gradients = {worker.cell: decoded(worker.ask("gradient")) for worker in workers if worker.times[1:]}
        for worker, row in zip(workers, rows, strict=True):
            own, unroll = gradients.get(worker.cell), replace(worker.cell, method="unroll")
            reference = gradients.get(unroll, gradients.get(replace(unroll, precision="fp32")))
            if own is not None:
                row.update({name: relative(own[name], reference[name]) for name in own} if own and reference else {})
                row.update(worker.ask("float64") if paper else {})
    finally:
        for worker in workers:
            worker.close()
    return rows
