"""What is kept of work that is not over, in one file beside what it is for: NAME.unfinished, until the work is done.

It is taken up only where all settings are those of the work that kept it. It is untrusted, as any file is: what cannot
be taken up is left out, with a note, and the work begins anew. A file of that name that is not ours is never replaced;
where nothing can be kept, a note says so, and the work goes on.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memcli.errors import ExistsError, MemcliError, MemoryFileError
from memcli.files import checkpoints, container, temporaries
from memcli.files.resumable import differences, told
from memcli.text import printable

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".unfinished"
_SETTINGS = "settings"


class Unfinished:
    """The file of work by `settings`, plain JSON, beside `target`; `note` takes what a user should know."""

    def __init__(self, target: str | Path, settings: dict[str, Any], note: Callable[[str], None]) -> None:
        self.target = target = Path(target)
        self.path = target.with_name(f"{target.name}{SUFFIX}")
        self.kept = 0  # the steps that are kept
        self._settings, self._note, self._keeps = settings, note, True

    def load(self, most: int, like: "dict[str, Tensor] | None", restore: "Callable[[dict[str, Tensor]], None]") -> int:
        """Have `restore` take what is kept, and return the number of its steps, 1 to `most`; 0 where there is nothing.

        The tensors are of the names, types and shapes of `like`, where that is given. `restore` raises MemoryFileError
        where it cannot take them, and has changed nothing then.
        """
        temporaries.collect(self.path)
        if not os.path.lexists(self.path):
            return 0
        shown = printable(str(self.path))
        try:
            found = checkpoints.read(self.path)
            settings = found.counters.get(_SETTINGS)
            if not isinstance(settings, dict):
                raise checkpoints.damaged("it has no settings")
            if differing := differences(settings, self._settings):
                self._note(f"{shown} is of other settings, and is not gone on with: {told(differing, {})}")
                return 0
            if not 1 <= found.step <= most:
                raise checkpoints.damaged(f"it has {found.step} steps")
            if like is not None:
                checkpoints.require_like(found.tensors, like)
            restore(found.tensors)
        except MemoryFileError as error:
            self._note(f"{shown} is not gone on with: {error.what.removeprefix(f'{shown}: ')}")
            return 0
        self.kept = found.step
        return found.step

    def save(self, step: int, tensors: "dict[str, Tensor]") -> None:
        """Keep the state after `step` steps in place of an earlier one."""
        if not self._keeps:
            return
        try:
            if os.path.lexists(self.path) and not self._is_ours():
                raise ExistsError(f"{printable(str(self.path))} is no file of memcli", do="Remove it")
            checkpoints.write(self.path, step, tensors, {_SETTINGS: self._settings})
            self.kept = step
        except MemcliError as error:
            self._keeps = False
            self._note(f"what is done cannot be kept: {error.what}")

    def remove(self) -> None:
        """Remove what is kept: the work is done."""
        temporaries.collect(self.path)
        if os.path.lexists(self.path) and self._is_ours():
            self.path.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        try:
            header = container.read_header(self.path, file_bytes=checkpoints.FILE_BYTES)
        except MemcliError:
            return False
        return header.manifest.get("kind") == checkpoints.KIND
