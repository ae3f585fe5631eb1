"""A command killed by SIGKILL before and after each of its renames, and then given again: `python killing.py WORDS`.

Each in a new folder below the current one, as a fork of this process, which imports once. In ends.json are, for
each kill, the exit code of the same command after it, what that printed, and the files that are there in the end.
"""

import contextlib
import hashlib
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from memcli.cli.app import app
from memcli.training import keeping

NEVER = 1_000_000


def killing(at: int) -> Callable[[str, str], None]:
    """os.replace, in which the process is killed before (`at` odd) or after the rename."""
    calls, replace = 0, os.replace

    def replaced(old: str, new: str) -> None:
        nonlocal calls
        for rename in (False, True):
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)
            if not rename:
                replace(old, new)

    return replaced


def forked(folder: Path, command: Callable[[], object], at: int = NEVER) -> int:
    """The exit code of `command` in `folder`, killed at that moment; its output is in FOLDER.out."""
    child = os.fork()
    if not child:
        os.chdir(folder)
        printed = os.open(f"../{folder.name}.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(printed, stream)
        os.replace = killing(at)  # type: ignore[assignment]
        code = 0
        try:
            command()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(command: Callable[[], object], every: int = 1) -> None:
    """Kill `command` at every rename, or at `every` so many of these moments."""
    torch.set_num_threads(1)
    Path("first").mkdir()
    with contextlib.chdir("first"), contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        command()  # and all modules are imported
    keeping.EVERY = 0.0  # each step is kept
    ends = []
    for at in range(1, NEVER, every):
        folder = Path(f"killed-{at:03}")
        folder.mkdir()
        first = forked(folder, command, at)
        code = forked(folder, command) if first else first
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        printed = Path(f"{folder.name}.out").read_text()
        ends.append({"killed": first == -signal.SIGKILL, "code": code, "files": files, "printed": printed})
        if not first:
            break
    Path("ends.json").write_text(json.dumps(ends))


if __name__ == "__main__":
    main(lambda: app(sys.argv[1:]))
