"""Progress on stderr: a bar on a terminal, a plain line every few seconds elsewhere, nothing for --quiet."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from memcli.cli._flags import with_flags
from memcli.progress import Progress, Silent
from memcli.text import printable

if TYPE_CHECKING:
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def reporting(*, quiet: bool, verbose: bool) -> Iterator[Progress]:
    """The Progress that fits stderr and the flags; a bar is taken down when the block is left, also by an error.

    Commands that report compute, so the process keeps from here on what memory it frees.
    """
    from memcli.engine.allocation import keep_freed_memory

    keep_freed_memory()
    if quiet:
        yield Silent()
    elif verbose or not sys.stderr.isatty() or os.environ.get("CI"):
        yield PlainProgress(0.0 if verbose else SECONDS_BETWEEN_LINES)
    else:
        bars = RichProgress()
        try:
            yield bars
        finally:
            bars.close()


class PlainProgress:
    """Lines such as `memcli: training: 40/100 steps, 3 s left, loss 0.31`: at most one in `every` seconds."""

    def __init__(self, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self.begin("", None)

    def begin(self, title: str, total: float | None, unit: str = "steps", done: float = 0) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done = self._began_with = done
        self._figures: dict[str, float] = {}
        self._started = self._said = self._clock()

    def update(self, done: float, **figures: float) -> None:
        self._done = done
        self._figures |= figures
        now = self._clock()
        if now - self._said >= self._every:
            self._said = now
            self._say(self._left(now))

    def end(self) -> None:
        self._say(f"done in {duration(self._clock() - self._started)}")

    def note(self, message: str) -> None:
        _line(message)

    def _left(self, now: float) -> str | None:
        advance = self._done - self._began_with
        if not self._total or advance <= 0:
            return None
        left = max(self._total - self._done, 0)
        return f"{duration(left if self._unit == 's' else (now - self._started) * left / advance)} left"

    def _say(self, time_part: str | None) -> None:
        parts = [amount(self._done, self._total, self._unit), time_part, figures_text(self._figures)]
        _line(f"{self._title}: {', '.join(part for part in parts if part)}")


class RichProgress:
    """A bar for the present stage, with its latest figures and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._bars: Bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[amount]} {task.fields[figures]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None
        self._figures: dict[str, float] = {}

    def begin(self, title: str, total: float | None, unit: str = "steps", done: float = 0) -> None:
        self._figures, self._total, self._unit = {}, total, unit
        if self._task is not None:
            self._bars.remove_task(self._task)  # one bar at a time, however many stages there are
        self._bars.start()
        self._task = self._bars.add_task(
            printable(title), total=total, completed=int(done), amount=amount(done, total, unit), figures=""
        )

    def update(self, done: float, **figures: float) -> None:
        assert self._task is not None, "update before begin"
        self._figures |= figures
        text = amount(done, self._total, self._unit)
        self._bars.update(self._task, completed=done, amount=text, figures=figures_text(self._figures))

    def end(self) -> None:
        assert self._task is not None, "end before begin"
        self._bars.stop_task(self._task)
        self._bars.refresh()

    def note(self, message: str) -> None:
        self._bars.console.print(f"memcli: {printable(with_flags(message), 2000)}", markup=False, highlight=False)

    def close(self) -> None:
        self._bars.stop()


def amount(done: float, total: float | None, unit: str) -> str:
    """`40/100 steps`, or `40 steps` where the total is not known."""
    return f"{done:.0f}{'' if total is None else f'/{total:.0f}'} {unit}"


def figures_text(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def duration(seconds: float) -> str:
    """Seconds for people: 4.2 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    return f"{minutes} min {round(seconds) % 60:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _line(message: str) -> None:
    typer.echo(f"memcli: {printable(with_flags(message), 2000)}", err=True)
