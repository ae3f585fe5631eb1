"""Where torch keeps what it compiles: in a temporary folder, where its own cannot be written."""

import atexit
import os
import shutil
import tempfile
from collections.abc import MutableMapping

from memcli.errors import UsageError
from memcli.text import printable

FOLDER = "TORCHINDUCTOR_CACHE_DIR"


def usable_folder(environment: MutableMapping[str, str]) -> str | None:
    """Have torch take a temporary folder where its own cannot be written, and say why; None where it can be.

    torch makes that folder as soon as anything is trained, compiled or not, and fails where it cannot. Raises
    UsageError where there is no folder for temporary files either.
    """
    folder = environment.get(FOLDER)
    try:
        if folder is not None and not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # None: where the folder is by default
    except OSError as error:
        try:
            environment[FOLDER] = tempfile.mkdtemp(prefix="memcli-")
        except OSError as other:
            raise UsageError(
                f"there is no folder for what torch compiles ({printable(str(other))})",
                do="Set TMPDIR to a folder that can be written",
            ) from error
        atexit.register(_remove, environment[FOLDER], os.getpid())
        return (
            f"{printable(str(folder))} cannot be written ({error.strerror}): what is compiled is kept for this run only"
        )
    return None


def _remove(folder: str, process: int) -> None:
    """Remove `folder`, where this is the process that made it, and no fork of it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
