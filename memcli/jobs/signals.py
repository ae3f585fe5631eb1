"""A polite end: the first SIGINT or SIGTERM asks a run to save itself and stop; the second leaves at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from memcli.progress import Progress

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def asked_to_stop(progress: Progress) -> Iterator[Callable[[], bool]]:
    """Inside the block, a function that tells whether a signal has asked the run to stop.

    Signals reach the main thread only: in another one nothing is changed, and the answer is always no.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    asked = False

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        for number, handler in before.items():
            signal.signal(number, handler)
        progress.note("stopping after this step; press Ctrl-C again to leave at once")

    for number in _ENDING:
        signal.signal(number, ask)
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
