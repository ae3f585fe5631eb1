"""The first signal stops what runs, wherever it is; what must be whole puts it off; the second leaves at once."""

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from memcli.errors import Interrupted
from memcli.progress import Silent
from memcli.stopping import Stopped, resumable, stoppable, whole


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def send(number: signal.Signals = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def run(work: Callable[[], object], notes: Notes | None = None) -> None:
    with stoppable(notes or Notes()):
        work()
        raise AssertionError("it went on")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_what_runs_and_leaves_the_handlers_as_they_were(number: signal.Signals) -> None:
    before, notes = signal.getsignal(number), Notes()
    with pytest.raises(Stopped):
        run(lambda: send(number), notes)
    assert notes.notes == ["stopping; press Ctrl-C again to leave at once"]
    assert signal.getsignal(number) is before


def test_a_whole_block_ends_first() -> None:
    done = []

    def work() -> None:
        with whole():
            with whole():
                send()
            done.append("both")
        done.append("after")

    with pytest.raises(Stopped):
        run(work)
    assert done == ["both"]


def test_the_second_signal_leaves_at_once() -> None:
    done = []

    def work() -> None:
        with whole():
            send()
            done.append("first")
            send()
            done.append("second")

    with pytest.raises(KeyboardInterrupt) as raised:
        run(work)
    assert done == ["first"]
    assert not isinstance(raised.value, Stopped)


@pytest.mark.parametrize("earlier", [False, True])
def test_a_signal_does_not_hide_what_ends_the_program_already(earlier: bool) -> None:
    """As where another process is lost: the launcher ends this one, which tells why and saves what it has meanwhile."""
    before, saved = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        try:
            with whole():
                if earlier:
                    send(signal.SIGTERM)
                raise Interrupted("another process has ended", do="Again")
        finally:
            if not earlier:
                send(signal.SIGTERM)
            with whole():
                saved.append("status")
            saved.append("more")

    with pytest.raises(Interrupted, match="another process has ended"):
        run(work)
    assert saved == ["status", "more"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stop_that_python_dropped_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: dropped.append(what.exc_type))

    class Deleted:
        def __del__(self) -> None:
            send()

    def work() -> None:
        Deleted()
        with whole():
            pass

    with pytest.raises(Stopped):
        run(work)
    assert dropped == [Stopped]


def test_another_thread_changes_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)

    def work() -> None:
        with stoppable(Notes()):
            assert signal.getsignal(signal.SIGINT) is before

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_what_can_be_resumed_says_so() -> None:
    do = r"stopped there\. Give the same command again to continue"
    with pytest.raises(Interrupted, match=do), resumable("stopped there"):
        raise Stopped


def test_an_import_ends_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that takes whatever is raised in it would lose the request."""
    lines = "try:", "    signal.raise_signal(signal.SIGINT)", "except BaseException:", "    pass", "whole = True"
    (tmp_path / "a_module_that_takes_all.py").write_text("\n".join(("import signal", *lines)))
    monkeypatch.syspath_prepend(tmp_path)
    done = []

    def work() -> None:
        done.append(importlib.import_module("a_module_that_takes_all").whole)
        late.start()
        time.sleep(600)

    late = threading.Timer(300, done.append, ("the request did not end the wait",))
    with pytest.raises(Stopped):
        run(work)
    late.cancel()
    assert done == [True]
