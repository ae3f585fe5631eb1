"""How long work reports: the library never prints, it calls a Progress (by default a silent one) and a Callback."""

from typing import Any, Protocol


class Progress(Protocol):
    """Where a long job reports. `unit` is what `done` and `total` count ("steps", "s", "images")."""

    def begin(self, title: str, total: float | None, unit: str = "steps", done: float = 0) -> None:
        """A stage starts, with `done` of `total` done already. `total` None: its length is not known."""

    def update(self, done: float, **figures: float) -> None:
        """The stage is at `done` of `total`; `figures` are its latest measurements by name."""

    def busy(self, what: str) -> None:
        """Something that the stage waits for, such as a look or a compilation; "" where it goes on."""

    def end(self) -> None:
        """The stage is over."""

    def note(self, message: str) -> None:
        """A message for the user: a guess that was made, or a choice that was changed."""


class Silent:
    """The Progress that says nothing."""

    def begin(self, title: str, total: float | None, unit: str = "steps", done: float = 0) -> None: ...

    def update(self, done: float, **figures: float) -> None: ...

    def busy(self, what: str) -> None: ...

    def end(self) -> None: ...

    def note(self, message: str) -> None: ...


class Notes(Silent):
    """The Progress that keeps notes, for another process to tell."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def taken(self) -> list[str]:
        """The notes since the last call."""
        notes, self.notes = self.notes, []
        return notes


class Callback:
    """Follows a distillation from Python: override what is needed. Each is called on the thread that distils.

    For trackers: a class that passes on the figures of `on_look` has a few lines (docs/api.md has one).
    """

    def on_step(self, step: int, loss: float) -> None:
        """Outer step number `step`, counted from 1 over all stages, is done; `loss` is that of its objective."""

    def on_look(self, step: int, validation: float, best: float) -> None:
        """The memory was measured on the validation part: its accuracy, and the best so far, both in [0, 1]."""

    def on_figures(self, step: int, figures: dict[str, float]) -> None:
        """All figures of that look by name: stage, loss, validation, lr (the inner rate), seconds (so far)."""

    def on_end(self, result: Any) -> None:
        """The memory is written; `result` is what `memcli.distill` returns."""
