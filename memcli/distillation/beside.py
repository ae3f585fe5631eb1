"""Compiling beside learning: another process compiles the steps of all stages while this one learns with slower ones.

A thread would not do: the compiler holds Python's lock for most of its time. What the process has compiled lies in
torch's folder of compiled code, from where this one takes it in a second or two, as in any later run. The process is
told in JSON what to compile, and says in lines of JSON what is ready; it ends when its standard input does, and so with
this one, however that ends.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import torch

from memcli import machine
from memcli.distillation.recipe import Recipe
from memcli.distillation.settings import RunSettings
from memcli.distillation.speed import decided
from memcli.engine.compiling.toolchain import where
from memcli.memory.spec import MemorySpec
from memcli.progress import Progress

_ROOM = 3 << 30  # bytes of memory that must be free for it: it takes a third or so of them
MESSAGE = "memcli: "  # how its lines begin
_GRACE = 2.0  # seconds that it and its compilers have to end in
_PROGRAM = (  # the same modules from the same places as here; the compiler's own end would wait for its helpers
    "import json, os, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from memcli.distillation.compiler import main; os._exit(main())"
)


def applies(settings: RunSettings) -> bool:
    """Whether steps are compiled beside learning: where time alone ends the run, and memory suffices for both.

    The moment at which compiled steps take over depends on the machine's load, and results by it, to rounding. Runs of
    a number of steps wait for the compiler instead, so that a seed decides all of them.
    """
    available = machine.available_memory()
    timed = settings.time_budget is not None and settings.steps is None
    return timed and settings.compile is not False and (available is None or available >= _ROOM)


class Beside:
    """The process that compiles, as this one sees it."""

    def __init__(self, spec: MemorySpec, recipe: Recipe, settings: RunSettings, must: bool, progress: Progress) -> None:
        """Starts it, where no other rank does that can hand on what is compiled. `must`: where it fails, this process
        compiles, and raises what is wrong; else nothing is compiled, and a note says why.
        """
        self._must, self._progress, self._told, self._ranks = must, progress, False, settings.ranks
        self._ready: set[int] = set()
        self._fault: str | None = None
        self.peak_bytes = 0  # of memory that it took so far: the GPU's where one is used
        self._process: subprocess.Popen[str] | None = None
        if not settings.ranks.is_first_of(where(settings.device)):
            self._ready = set(range(len(recipe.stages)))
            return
        wanted = {
            "data": spec.data.to_json(),
            "memory": spec.to_json(),
            "recipe": recipe.to_json(),
            "device": str(settings.device),
            "bfloat16": bool(settings.bfloat16),
            "threads": torch.get_num_threads(),
        }
        command = [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path)]
        pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=nowhere, text=True, start_new_session=True
            )
        except OSError as error:
            self._fault = f"no process for it can be started: {error.strerror}"
            return
        self._listener = threading.Thread(target=self._listen, args=(self._process, json.dumps(wanted)), daemon=True)
        self._listener.start()

    def ready(self, stage: int) -> bool:
        """Whether the steps of that stage are compiled, for all ranks, so that taking them is quick.

        All ranks go on with compiled steps after the same step: one that is slower holds up the others.
        """
        return self._ranks.all_agree(self._is_ready(stage))

    def _is_ready(self, stage: int) -> bool:
        if self._fault is None or self._must:
            return self._fault is not None or stage in self._ready
        if not self._told:
            self._progress.note(f"steps are not compiled, and slower for it: {self._fault}")
        self._told = True
        return False

    def wait(self) -> None:
        """Until it has ended."""
        if self._process is not None:
            self._listener.join()

    def close(self) -> None:
        """End it, with the C++ compilers that it runs. What is compiled by then stays in torch's folder."""
        if self._process is not None:
            _end(self._process)
            self._listener.join()
            for stream in (self._process.stdin, self._process.stdout):
                with suppress(OSError):  # it ended before it read what was left to be written
                    stream.close()  # type: ignore[union-attr]

    def _listen(self, process: "subprocess.Popen[str]", wanted: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError):  # it has ended
            process.stdin.write(wanted + "\n")
            process.stdin.flush()
        for line in process.stdout:
            if not line.startswith(MESSAGE):
                continue  # somebody's sitecustomize printed it
            said = json.loads(line.removeprefix(MESSAGE))
            self.peak_bytes = said.get("peak_bytes", self.peak_bytes)
            if "stage" in said:
                self._ready.add(said["stage"])
            else:
                self._fault = said["fault"]
        code = process.wait()
        if code and self._fault is None:
            self._fault = f"the process that compiles them ended with {code}"


def _end(process: "subprocess.Popen[str]") -> None:
    """End a process and all of its group: a compiler that is asked to end removes what it has half written."""
    if not hasattr(os, "killpg"):
        process.kill()
        return
    end = time.monotonic() + _GRACE
    with suppress(ProcessLookupError, PermissionError):  # none is left; macOS says so in the second way
        while True:
            os.killpg(process.pid, signal.SIGTERM if time.monotonic() < end else signal.SIGKILL)
            process.poll()  # else it stays in the group as a zombie
            time.sleep(0.02)


@contextmanager
def beside(
    spec: MemorySpec, recipe: Recipe, settings: RunSettings, progress: Progress
) -> Iterator[tuple[RunSettings, Beside | None]]:
    """`settings` decided, and a process that compiles while the block runs, if any is to: see `applies`."""
    ranks, must = settings.ranks, bool(settings.compile)
    apart = ranks.all_agree(applies(settings))
    settings = decided(settings, spec, recipe, progress, tried=not apart)
    settings = replace(settings, compile=ranks.all_agree(bool(settings.compile)))
    if not (apart and settings.compile):
        yield settings, None
        return
    process = Beside(spec, recipe, settings, must, progress)
    try:
        yield settings, process
    finally:
        process.close()
