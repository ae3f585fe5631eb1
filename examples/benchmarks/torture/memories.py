"""Bad memory files, from tests/attacks, through each command: the documented exit code in bounded time and memory."""

import importlib
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from torture import Cases

MOST_SECONDS, MOST_MIB = {"inspect": 1.0}, 300  # for each file, beyond what a process takes that has imported all
_LONGEST = 60.0  # seconds of other commands, which may import a network's package
_IMPORTED = ("memcli.cli.app", "memcli.jobs.evaluate", "memcli.jobs.recall", "memcli.jobs.verify", "torchvision")


def run(cases: Cases) -> None:
    """Every file through `inspect` and `verify`; those that these take, or every fourth, through the others."""
    from bad_memories import ATTACKS
    from memory_attacks import COMMANDS

    for number, (name, attack) in enumerate(ATTACKS.items()):
        for command in COMMANDS:
            asked = attack.code == 0 and command in attack.codes
            if command in ("inspect", "verify") or asked or (attack.code and number % 4 == 0):
                cases.attempt(f"{command}: {name}", lambda c=command, a=attack: _tried(c, a))


def _tried(command: str, attack: Any) -> dict[str, Any]:
    """What the command took, in a process of its own that has imported all that it needs."""
    for module in _IMPORTED:
        importlib.import_module(module)  # before the fork, so that importing is not measured
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "folder").mkdir()
        path = Path(name) / "folder" / "bad.safetensors"
        path.write_bytes(attack.make())
        here, there = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=_run, args=(command, path, attack, there))
        child.start()
        there.close()
        try:
            assert here.poll(_LONGEST), f"no end after {_LONGEST:.0f} s"
            wrong, seconds, mib = here.recv()
        finally:
            child.kill()
            child.join()
    assert not wrong, wrong
    limit = MOST_SECONDS.get(command, _LONGEST)
    assert seconds < limit, f"{seconds:.2f} s, where {limit} are allowed"
    assert command != "inspect" or mib < MOST_MIB, f"{mib:.0f} MiB"
    return {f"{command}, s": round(seconds, 3), f"{command}, MiB": round(mib)}


def _run(command: str, path: Path, attack: Any, told: Connection) -> None:
    """Send what went wrong, the seconds, and the memory that it took."""
    from memory_attacks import tried

    from memcli.machine import peak_memory

    before, began, wrong = peak_memory(), time.process_time(), ""
    try:
        tried(command, path, attack)
    except AssertionError as error:
        wrong = str(error)
    told.send((wrong, time.process_time() - began, (peak_memory() - before) / 2**20))
