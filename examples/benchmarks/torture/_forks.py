"""Commands as forks of this process, which has loaded what they load: a whole run takes a quarter of a second."""

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

import memcli
from memcli.cli.app import app

torch.set_num_threads(1)  # the last bits of a run are those of its number of threads


@cache
def warm() -> None:
    """Let this process load what a run loads, once."""
    import tiny

    with tempfile.TemporaryDirectory() as name:
        memcli.distill("fake:n=20,test=5", Path(name, "m"), recipe=tiny.recipe(2), device="cpu")
        memcli.retrain(Path(name, "m"), Path(name, "n"), device="cpu")


@dataclass(frozen=True)
class Ended:
    """A fork that has ended."""

    code: int  # negative: the signal that ended it
    told: str  # what it printed

    def require(self, *codes: int) -> "Ended":
        assert self.code in codes, f"exit {self.code}, not {codes}: {self.told[-2000:]}"
        assert "Traceback" not in self.told, self.told[-2000:]
        return self


def memcli_in(
    folder: Path, *words: object, kill_after: float | None = None, before: Callable[[], None] | None = None
) -> Ended:
    """`memcli WORDS` in `folder`, killed after so many seconds if it still runs; `before` is called in the fork."""
    warm()
    log = folder.with_name(f"{folder.name}.log")
    log.touch()  # a fork may be killed before it opens it
    child = os.fork()
    if not child:
        _run(folder, [str(word) for word in words], log, before)
    ends = None if kill_after is None else time.monotonic() + kill_after
    while True:
        ended, status = os.waitpid(child, os.WNOHANG if ends else 0)
        if ended:
            return Ended(os.waitstatus_to_exitcode(status), log.read_text(errors="replace"))
        if ends and time.monotonic() >= ends:
            os.kill(child, signal.SIGKILL)
            ends = None
        else:
            time.sleep(0.002)


def _run(folder: Path, words: list[str], log: Path, before: Callable[[], None] | None) -> None:
    code = 1
    try:
        os.chdir(folder)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        if before is not None:
            before()
        app(words)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
