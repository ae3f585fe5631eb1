"""Bad data sets, from tests/attacks: each is read or refused as it should be, in bounded time and memory."""

import contextlib
import importlib
import io
import multiprocessing
import subprocess
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from torture import Cases

MOST_SECONDS, MOST_MIB = 60, 1024  # of one data set, beyond what an empty process takes
_EXIT_CODES = (3, 5)  # of what is refused


def run(cases: Cases) -> None:
    """All attacks of the tests, and those that take long to write."""
    import bad_arrays
    import bad_folders

    for groups in (bad_arrays.GROUPS, bad_folders.GROUPS):
        for kind, attacks in groups.items():
            for name, attack in attacks.items():
                cases.attempt(f"{kind}, {name}", lambda attack=attack: _tried(attack))


def _tried(attack: Any) -> dict[str, Any]:
    """What reading took, in a process of its own that has imported all that it needs."""
    for module in ("memcli.cli._boundary", "memcli.jobs.plan", "pyarrow.parquet"):
        importlib.import_module(module)  # before the fork, so that importing is not measured
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = attack.write(folder)
        here, there = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=_read, args=(text, there))
        began = time.monotonic()
        child.start()
        there.close()
        try:
            answered = here.poll(MOST_SECONDS)
            seconds = time.monotonic() - began
            assert answered, f"no end after {MOST_SECONDS} s"
            code, said, mib = here.recv()
        finally:
            child.kill()
            child.join()
            subprocess.run(["rm", "-rf", *folder.iterdir()], check=True)  # what is too deep for Python to remove
    assert said.replace("\n", "").isprintable(), repr(said)
    if attack.message:
        assert code in _EXIT_CODES, said
        assert attack.found_in(said), said
    else:
        assert (code, said) == (0, repr(attack.classes)), said
    assert mib < MOST_MIB, f"{mib:.0f} MiB"
    return {"reading, s": round(seconds, 3), "MiB": round(mib)}


def _read(text: str, told: Connection) -> None:
    """Open `text` as a run does, and send the exit code, the error or the classes, and the memory that it took."""
    from memcli.cli._boundary import report
    from memcli.jobs.plan import Size, prepared
    from memcli.machine import peak_memory

    before, code, said = peak_memory(), 0, io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            said.write(repr(prepared(text, size=Size()).source.classes))
        except Exception as error:
            code = report(error)
    told.send((code, said.getvalue(), (peak_memory() - before) / 2**20))
