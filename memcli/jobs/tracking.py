"""Following a distillation by a tracker, whose failures end nothing."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from memcli.files.runfolder import RunFolder
from memcli.progress import Callback, Progress
from memcli.text import printable
from memcli.trackers import TRACKERS, TrackedRun, Writer


@contextmanager
def followed(
    name: str | None, run: RunFolder, output_name: str, settings: dict[str, Any], callback: Callback, progress: Progress
) -> Iterator[Callback]:
    """Inside the block, a callback that hands what it is told to `callback`, and figures to the tracker `name` too.

    The run folder records the tracker and where its figures are. None: `callback` itself.
    """
    if name is None:
        yield callback
        return
    earlier = run.tracker()
    before = earlier["place"] if earlier.get("tracker") == name else None
    both = _Both(callback, progress, name)
    both.open(lambda: TRACKERS[name].open(TrackedRun(output_name, run.path, settings, before)))
    if both.writer is not None:
        run.tracked(name, both.writer.place)
        progress.note(f"{name} follows the run: {printable(both.writer.place)}")
    try:
        yield both
    finally:
        both.close()


class _Both(Callback):
    """A user's callback and a tracker's writer. The writer is given up at its first failure, which is noted.

    Trackers print, and stdout is for data, so what they print goes to stderr.
    """

    def __init__(self, callback: Callback, progress: Progress, name: str) -> None:
        self._callback, self._progress, self._name = callback, progress, name
        self.writer: Writer | None = None

    def open(self, make: Callable[[], Writer]) -> None:
        def keep() -> None:
            self.writer = make()

        self._try(keep)

    def close(self) -> None:
        if self.writer is not None:
            self._try(self.writer.close)

    def on_step(self, step: int, loss: float) -> None:
        self._write(step, {"loss": loss})
        self._callback.on_step(step, loss)

    def on_look(self, step: int, validation: float, best: float) -> None:
        self._write(step, {"best": best})
        self._callback.on_look(step, validation, best)

    def on_figures(self, step: int, figures: dict[str, float]) -> None:
        self._write(step, {name: value for name, value in figures.items() if name != "loss"})  # each step tells that
        self._callback.on_figures(step, figures)

    def on_end(self, result: Any) -> None:
        spec = result.artifact.spec
        self._write(result.steps, {"final validation": result.validation, "bytes": spec.bytes})
        self._callback.on_end(result)

    def _write(self, step: int, figures: dict[str, float]) -> None:
        writer, finite = self.writer, {name: value for name, value in figures.items() if math.isfinite(value)}
        if writer is not None and finite:
            self._try(lambda: writer.write(step, finite))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            with redirect_stdout(sys.stderr):
                action()
        except Exception as error:  # a library that is not ours may raise anything
            self.writer = None
            told = printable(f"{type(error).__name__}: {error}")
            self._progress.note(f"{self._name} follows the run no more, since it failed: {told}")
