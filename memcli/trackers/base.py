"""What every tracker has in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from memcli.errors import UsageError


@dataclass(frozen=True)
class TrackedRun:
    """The run that a tracker follows."""

    name: str  # of the memory file, without its suffix
    folder: Path  # of the run, where a tracker may keep files in a folder of its own name
    settings: dict[str, Any]  # all that determines the result, as plain JSON
    before: str | None = None  # the `place` of the writer that followed this run before it was resumed


class Writer(ABC):
    """One run's line to a tracker. What it raises is told once; the run goes on without it."""

    place: str = ""  # where the figures are, in words or as a name by which `TrackedRun.before` finds them again

    @abstractmethod
    def write(self, step: int, figures: dict[str, float]) -> None:
        """Figures by name, after outer step `step`; steps only grow, but for a run that was resumed."""

    @abstractmethod
    def close(self) -> None:
        """The run is over, or was stopped."""


@dataclass(frozen=True)
class Tracker:
    """A tracker as `track` names it: one line of the registry, or the entry point of a plug-in."""

    help: str  # one line
    module: str  # the library that it needs
    install: str  # what to type to get that
    open: Callable[[TrackedRun], Writer]

    def require(self) -> None:
        """Raise UsageError where its library is not installed."""
        if find_spec(self.module) is None:
            raise UsageError(f"{self.module} is not installed", do=f"Run {self.install}")
