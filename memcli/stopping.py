"""A polite end: the first SIGINT or SIGTERM stops what runs, so that it can save itself; the second leaves at once.

A signal raises Stopped wherever the program is, so that nothing has to look out for it: a look at the validation part,
the compilation of a step, the reading of a folder. What must not be left half done puts it off by `whole`; the import
of a module puts it off too.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from memcli.errors import Interrupted
from memcli.machine import signal_main_thread
from memcli.progress import Progress

_ENDING = (signal.SIGINT, signal.SIGTERM)
AGAIN = "Give the same command again to continue"
_LATER = 0.05  # seconds until a signal that came during an import is looked at again


class Stopped(KeyboardInterrupt):
    """The run was asked to stop. No Exception, so that nothing takes it for an error of its own and goes on."""


def importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported at `frame`. What is raised there may be lost, or break a library for good."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


class _Request:
    """Whether a signal asked the main thread to stop, and how many blocks put that off."""

    asked = False
    blocks = 0


def asked() -> bool:
    """Whether a signal asked the main thread to stop."""
    return _Request.asked


@contextmanager
def stoppable(progress: Progress) -> Iterator[None]:
    """Inside the block the first signal raises Stopped, and the second does what signals did before it.

    While Interrupted leaves the block, the first one changes nothing.

    Signals reach the main thread only: in another one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number: int, frame: FrameType | None) -> None:
        if importing(frame):
            later = threading.Timer(_LATER, signal_main_thread, (number,))
            later.daemon = True
            later.start()
            return
        restore()
        if _ends():
            return
        _Request.asked = True
        with suppress(RuntimeError):  # the signal came while another message was being written
            progress.note("stopping; press Ctrl-C again to leave at once")
        if not _Request.blocks:
            raise Stopped

    for number in _ENDING:
        signal.signal(number, stop)
    try:
        yield
    finally:
        _Request.asked = False
        restore()


@contextmanager
def whole() -> Iterator[None]:
    """Put Stopped off to the end of this short block.

    It is raised there, too, where it was lost: Python drops what is raised while an object is being deleted.
    """
    _Request.blocks += 1
    try:
        yield
    finally:
        _Request.blocks -= 1
    if _Request.asked and not _Request.blocks and not _ends():
        raise Stopped


def _ends() -> bool:
    """Whether Interrupted is on its way out already: it has more to tell, as that another process was lost."""
    return isinstance(sys.exception(), Interrupted)


@contextmanager
def resumable(what: str, do: str = AGAIN) -> Iterator[None]:
    """Turn Stopped into Interrupted, which says how to go on from what was saved."""
    try:
        yield
    except Stopped as stopped:
        raise Interrupted(what, do=do) from stopped
