"""Compiling beside learning: what is said of the other process, how it fails, and that it ends with this one."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from memcli.data.sources import open_source
from memcli.distillation import beside
from memcli.distillation.beside import Beside, applies
from memcli.distillation.learn import learn
from memcli.distillation.loop import Distillation
from memcli.distillation.settings import RunSettings
from memcli.engine import replayed, why_not_compiled
from memcli.errors import Interrupted, UsageError
from memcli.memory.spec import MemorySpec
from memcli.memory.start import from_data
from memcli.objectives import UnrolledObjective
from memcli.objectives.unrolled import Unrolled
from memcli.progress import Callback, Silent
from memcli.ranks import Ranks
from memcli.stopping import Stopped

SOURCE = open_source("fake:n=60,test=30,classes=3,shape=1x8x8")
SPEC = MemorySpec.from_budget(SOURCE.spec, floats=192)
RECIPE = tiny.recipe(6)
TIMED = RunSettings(time_budget=600.0, compile=True, bfloat16=False)
SAYS = "import os, sys, time; asked = sys.stdin.readline(); say = lambda text: print('memcli: ' + text, flush=True); "


class Notes(Silent):
    """Progress that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


class StopAtOnce(Callback):
    def on_step(self, step: int, loss: float) -> None:
        del step, loss
        raise Stopped


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets another program stand in for the one that compiles."""
    return lambda text: monkeypatch.setattr(beside, "_PROGRAM", SAYS + text)


@pytest.mark.parametrize(
    ("settings", "free", "expected"),
    [
        (RunSettings(time_budget=600.0), None, True),
        (RunSettings(time_budget=600.0, compile=True), 1 << 33, True),
        (RunSettings(time_budget=600.0), 1 << 30, False),
        (RunSettings(time_budget=600.0, compile=False), None, False),
        (RunSettings(time_budget=600.0, steps=5), None, False),
        (RunSettings(), None, False),
    ],
)
def test_steps_are_compiled_beside_where_time_alone_ends_the_run(
    settings: RunSettings, free: int | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memcli.machine.available_memory", lambda: free)
    assert applies(settings) == expected


def test_stages_are_ready_one_by_one_and_what_else_is_printed_is_no_message(program: Callable[[str], None]) -> None:
    program("""print('hello'); say('{"stage": 1, "peak_bytes": 7}'); sys.stdin.read()""")
    other = Beside(SPEC, RECIPE, TIMED, False, Notes())
    while not other.ready(1):
        time.sleep(0.01)
    assert not other.ready(0)
    assert other.peak_bytes == 7
    other.close()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("""say('{"fault": "no compiler"}'); sys.exit(1)""", "no compiler"),
        ("os.kill(os.getpid(), 9)", "the process that compiles them ended with -9"),
    ],
)
def test_a_failure_is_told_once_and_no_stage_is_ever_ready(text: str, why: str, program: Callable[[str], None]) -> None:
    program(text)
    told = Notes()
    other = Beside(SPEC, RECIPE, TIMED, False, told)
    other.wait()
    assert not any(other.ready(0) for _ in range(3))
    other.close()
    assert told.notes == [f"steps are not compiled, and slower for it: {why}"]


def test_where_no_process_can_be_started_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    told = Notes()
    other = Beside(SPEC, RECIPE, TIMED, False, told)
    other.wait()
    assert not other.ready(0)
    other.close()
    assert told.notes == [
        "steps are not compiled, and slower for it: no process for it can be started: No such file or directory"
    ]


def test_what_it_runs_ends_with_it(program: Callable[[str], None], tmp_path: Path) -> None:
    """A compiler that removes what it has half written when it is asked to end, as g++ does."""
    half = tmp_path / "half.so"
    compiler = f"trap 'rm {half}; exit 1' TERM; touch {half}; while true; do sleep 0.02; done"
    program(
        f"""import subprocess; subprocess.Popen(["sh", "-c", {compiler!r}]); say('{{"stage": 0}}'); time.sleep(600)"""
    )
    other = Beside(SPEC, RECIPE, TIMED, False, Notes())
    while not (other.ready(0) and half.exists()):
        time.sleep(0.01)
    other.close()
    assert not half.exists()


def test_it_ends_when_its_standard_input_does() -> None:
    """Whatever it is doing: here it waits for a compiler that never ends."""
    program = beside._PROGRAM.replace(
        "os._exit(main())",
        "import memcli.distillation.compiler as c, time; c._compile = lambda *_: time.sleep(600); main()",
    )
    command = [sys.executable, "-P", "-c", program, json.dumps(sys.path)]
    assert subprocess.run(command, input="{}\n", text=True, timeout=300, check=False).returncode == -signal.SIGTERM


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each objective that a run makes was to be compiled."""
    asked: list[bool] = []
    make = Unrolled.make

    def making(*given: Any, compile: bool, bfloat16: bool) -> UnrolledObjective:
        asked.append(compile)
        return make(*given, compile=compile, bfloat16=bfloat16)

    monkeypatch.setattr(Unrolled, "make", making)
    return asked


def waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = Beside.ready

    def after(other: Beside, stage: int) -> bool:
        other.wait()
        return ready(other, stage)

    monkeypatch.setattr(Beside, "ready", after)


def test_a_run_that_must_be_compiled_compiles_itself_where_the_other_process_fails(
    program: Callable[[str], None], made: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def uncompiled(*_: Any) -> Any:
        raise UsageError("there is no compiler", do="Install one")

    monkeypatch.setattr("memcli.objectives.unrolled.quickest", lambda _, compile: uncompiled if compile else replayed)
    program("""say('{"fault": "there is none"}'); sys.exit(1)""")
    waited_for(monkeypatch)
    told = Notes()
    with pytest.raises(UsageError, match="there is no compiler"):
        learn(SOURCE, SPEC, RECIPE, TIMED, progress=told)
    assert (made, told.notes) == ([False, True], [])


@pytest.mark.skipif(why_not_compiled(torch.device("cpu")) is not None, reason="no working C++ compiler")
def test_what_the_other_process_compiled_is_taken_and_not_compiled_again(
    made: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.utils import counters

    waited_for(monkeypatch)
    counters.clear()
    told = Notes()
    with pytest.raises(Interrupted, match="at step 1"):
        learn(SOURCE, SPEC, RECIPE, TIMED, progress=told, callback=StopAtOnce())
    assert (made, told.notes) == ([False, True], [])
    found = counters["inductor"]
    assert (found["fxgraph_cache_hit"], found["fxgraph_cache_miss"]) == (3, 0)


class OfTwo(Ranks):
    """One of two ranks of one machine, of which the other has compiled steps after so many steps."""

    size = 2

    def __init__(self, rank: int, steps: int = 0) -> None:
        self.rank, self._left = rank, steps

    def first(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        del tensors
        return from_data(SPEC, SOURCE.split("train"), seed=0).tensors

    def all_said(self, text: str) -> list[str]:
        return [text, text]

    def all_agree(self, is_so: bool) -> bool:
        self._left -= 1
        return is_so and self._left < 0


@pytest.mark.parametrize("rank", [0, 1])
def test_of_the_ranks_of_a_machine_the_first_compiles_and_all_go_on_at_one_step(
    rank: int, program: Callable[[str], None], made: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memcli.objectives.unrolled.quickest", lambda *_, **__: replayed)
    program("""say('{"stage": 0}'); sys.stdin.read()""")
    other = Beside(SPEC, RECIPE, replace(TIMED, ranks=OfTwo(rank, 3)), False, Notes())
    assert (other._process is None) == (rank == 1)
    while not other._is_ready(0):
        time.sleep(0.01)
    work, steps = Distillation(SOURCE, SPEC, RECIPE, TIMED, beside=other), 0
    while not made[-1]:
        work.move(0.0)
        steps += 1
    other.close()
    assert steps == 4


@pytest.mark.parametrize("rank", [0, 1])
def test_where_steps_are_compiled_before_learning_one_of_the_ranks_of_a_machine_does_it(
    rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr("memcli.objectives.unrolled.quickest", lambda *_, **__: replayed)
    monkeypatch.setattr("memcli.distillation.loop.made_step", lambda *given: compiled.append(given[1]))
    work = Distillation(SOURCE, SPEC, RECIPE, replace(TIMED, steps=2, replicas=2, ranks=OfTwo(rank)))
    for _ in range(2):
        work.move(0.0)
    assert compiled == [RECIPE.stages[0].objective] * (rank == 0)
