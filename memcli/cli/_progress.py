"""Progress on stderr: a bar on a terminal, a plain line now and then elsewhere, nothing for --quiet."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from memcli.cli._compiled import usable_folder
from memcli.cli._flags import with_flags
from memcli.progress import Progress, Silent
from memcli.text import printable

if TYPE_CHECKING:
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 5.0
_RARER = 0.1  # of the time since the stage began: at least that lies between two lines, so that a log of hours is short
_RAREST = 60.0  # seconds between two lines, at most
_LEAST_BAR, _MOST_BAR = 8, 40  # columns


@contextmanager
def reporting(*, quiet: bool, verbose: bool) -> Iterator[Progress]:
    """The Progress that fits stderr and the flags; a bar is taken down when the block is left, also by an error.

    Commands that report compute, so the process keeps from here on what memory it frees, and torch has a folder for
    what it compiles.
    """
    from memcli.engine.allocation import keep_freed_memory

    keep_freed_memory()
    unusual = usable_folder(os.environ)
    with _progress(quiet=quiet, verbose=verbose) as progress:
        if unusual:
            progress.note(unusual)
        yield progress


@contextmanager
def _progress(*, quiet: bool, verbose: bool) -> Iterator[Progress]:
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


class Stage:
    """The stage that is under way, and what is left of it."""

    def __init__(self, title: str, total: float | None, unit: str, done: float, now: float) -> None:
        self.title, self.total, self.unit, self.done, self.what = title, total, unit, done, ""
        self.figures: dict[str, float] = {}
        self.started = self._updated = now
        self._began_with = done

    def update(self, done: float, figures: dict[str, float], now: float) -> None:
        self.done, self._updated = done, now
        self.figures |= figures

    def count(self) -> str:
        """`40/100 steps`, or `40 steps` where the total is not known; nothing where nothing is counted."""
        return f"{self.done:.0f}{'' if self.total is None else f'/{self.total:.0f}'} {self.unit}" if self.unit else ""

    def left(self, now: float) -> str:
        """The time that is left: by the speed so far; what is counted in seconds runs by itself."""
        advance = self.done - self._began_with
        if not self.total or advance <= 0:
            return ""
        left = self.total - self.done
        seconds = left - (now - self._updated) if self.unit == "s" else (now - self.started) * left / advance
        return f"{duration(max(seconds, 0))} left"

    def details(self) -> list[str]:
        """What it waits for, and the latest figures."""
        figures = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in self.figures.items()]
        return [self.what, *figures] if self.what else figures


class PlainProgress:
    """Lines such as `memcli: training: 40/100 steps, 3 s left, loss 0.31`: at most one in `every` seconds.

    In a long stage they become rarer, down to one a minute; where `every` is 0, all are printed.
    """

    def __init__(self, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._every, self._clock = every, clock
        self._stage, self._said = Stage("", None, "", 0, clock()), clock()

    def begin(self, title: str, total: float | None, unit: str = "steps", done: float = 0) -> None:
        self._stage, self._said = Stage(title, total, unit, done, self._clock()), self._clock()
        if not unit:  # nothing will be counted: this line is all that is said of it
            self._say("")

    def update(self, done: float, **figures: float) -> None:
        self._stage.update(done, figures, self._clock())
        self._say_when_due()

    def busy(self, what: str) -> None:
        self._stage.what = what
        if what:
            self._say_when_due()

    def end(self) -> None:
        self._say(f"done in {duration(self._clock() - self._stage.started)}")

    def note(self, message: str) -> None:
        _line(message)

    def _say_when_due(self) -> None:
        now, every = self._clock(), self._every
        if every:
            if self._stage.done == self._stage.total and not self._stage.what:
                return  # the line of the end is next
            every = max(every, min(_RARER * (now - self._stage.started), _RAREST))
        if now - self._said >= every:
            self._said = now
            self._say(self._stage.left(now))

    def _say(self, time_part: str) -> None:
        stage = self._stage
        parts = ", ".join(part for part in (stage.count(), time_part, *stage.details()) if part)
        _line(f"{stage.title}: {parts}" if parts else stage.title)


class RichProgress:
    """A bar for the present stage, with its latest figures and the time left, in one line of any terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bars
        from rich.progress import ProgressColumn, Task
        from rich.table import Column
        from rich.text import Text

        console = Console(stderr=True)

        class Line(ProgressColumn):
            def render(self, task: Task) -> Text:
                stage: Stage = task.fields["stage"]
                count, left = stage.count(), stage.left(time.monotonic())
                title, bar, details = fitted(console.width, printable(stage.title), count + left, stage.details())
                full = round(bar * min(stage.done / stage.total, 1)) if stage.total else 0
                drawn = ("━" * full, "bar.complete"), ("─" * (bar - full), "bar.back")
                return Text.assemble(title, " ", *drawn, *(f" {part}" for part in (count, left, details) if part))

        self._bars: Bars = Bars(Line(Column(no_wrap=True)), console=console)
        self._task: TaskID | None = None
        self._stage = Stage("", None, "", 0, 0.0)

    def begin(self, title: str, total: float | None, unit: str = "steps", done: float = 0) -> None:
        self._stage = Stage(title, total, unit, done, time.monotonic())
        if self._task is not None:
            self._bars.remove_task(self._task)  # one bar at a time, however many stages there are
        self._bars.start()
        self._task = self._bars.add_task("", total=None, stage=self._stage)

    def update(self, done: float, **figures: float) -> None:
        self._stage.update(done, figures, time.monotonic())

    def busy(self, what: str) -> None:
        self._stage.what = what

    def end(self) -> None:
        self._bars.refresh()

    def note(self, message: str) -> None:
        self._bars.console.print(f"memcli: {printable(with_flags(message), 2000)}", markup=False, highlight=False)

    def close(self) -> None:
        self._bars.stop()


def fitted(width: int, title: str, always: str, details: list[str]) -> tuple[str, int, str]:
    """What fits into `width` columns beside `always`, the amount and the time left: title, columns of the bar, details.

    Where there is little room, details go first, the last one first of all; then the end of the title; then the bar is
    shorter. It is never shorter than _LEAST_BAR.
    """
    room = width - len(always) - 5  # a space after each of the five parts
    title = title if len(title) <= room - _LEAST_BAR else title[: max(room - _LEAST_BAR - 1, 0)] + "…"
    room -= len(title)
    while details and len(", ".join(details)) > room - _LEAST_BAR:
        details = details[:-1]
    text = ", ".join(details)
    return title, max(min(room - len(text), _MOST_BAR), _LEAST_BAR), text


def duration(seconds: float) -> str:
    """Seconds for people: 4.2 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    return f"{minutes} min {round(seconds) % 60:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _line(message: str) -> None:
    typer.echo(f"memcli: {printable(with_flags(message), 2000)}", err=True)
