"""How long work tells of itself. The core never prints: it is handed a Progress, by default one that is silent."""

from typing import Protocol


class Progress(Protocol):
    """Where a long job reports. `unit` is what `done` and `total` count ("steps", "s", "images")."""

    def begin(self, title: str, total: float | None, unit: str = "steps", done: float = 0) -> None:
        """A stage starts, `done` of `total` being behind it. `total` None: its length is not known."""

    def update(self, done: float, **figures: float) -> None:
        """The stage is at `done` of `total`; `figures` are its latest measurements by name."""

    def end(self) -> None:
        """The stage is over."""

    def note(self, message: str) -> None:
        """Something that the user should know: a guess that was made, a choice that was changed."""


class Silent:
    """The Progress that says nothing."""

    def begin(self, title: str, total: float | None, unit: str = "steps", done: float = 0) -> None: ...

    def update(self, done: float, **figures: float) -> None: ...

    def end(self) -> None: ...

    def note(self, message: str) -> None: ...
