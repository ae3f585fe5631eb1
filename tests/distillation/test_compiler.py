"""What the process beside learning compiles is what the run will ask for, to the last stride."""

import json
from io import StringIO
from typing import Any

import pytest
import tiny
import torch
from torch.fx import GraphModule

from memcli.data.sources import open_source
from memcli.distillation import compiler
from memcli.distillation.beside import MESSAGE
from memcli.distillation.compiler import made_step
from memcli.distillation.loop import Distillation
from memcli.distillation.settings import RunSettings
from memcli.engine import Tensors, replayed
from memcli.engine.compiling.backends import Runner
from memcli.errors import UsageError
from memcli.memory.spec import MemorySpec

SOURCE = open_source("fake:n=60,test=30,classes=3,shape=1x8x8")
CPU = torch.device("cpu")
NETWORK = "convnet:width=4,depth=1"


@pytest.mark.parametrize(
    ("memory", "objective"),
    [
        ({"scale": 2}, {"steps": 6, "window": 2, "pool": 2}),
        ({"storage": "int8", "labels": "row"}, {"steps": 4, "window": 2, "optimiser": "adam"}),
        ({"support": 2}, {"window": 1, "images": 2, "real_images": 2}),
        ({"cells": 7}, {"networks": 2, "augment": "shift,flip", "learn_lr": False}),
        ({}, {"network": "convnet:width=4,depth=1,side=4"}),
        ({}, {"network": f"{NETWORK} + mlp:width=4"}),
    ],
)
def test_a_made_step_records_what_a_run_records(
    memory: dict[str, Any], objective: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = MemorySpec(SOURCE.spec, **{"bases": 4, "scale": 1, "rows": 3, **memory})
    recipe = tiny.recipe(4).changed({"stages": [{"objective": {"network": NETWORK, **objective}}]})
    recorded: set[tuple[object, ...]] = set()

    def recording(operations: GraphModule, example: Tensors) -> Runner:
        layouts = tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in example)
        recorded.add((operations.code, layouts))
        return replayed(operations, example)

    monkeypatch.setattr("memcli.objectives.unrolled.quickest", lambda *_: recording)
    made_step(spec, recipe.stages[0].objective, CPU, bfloat16=False)
    made, recorded = recorded, set()
    work = Distillation(SOURCE, spec, recipe, RunSettings(compile=False))
    for _ in range(4):
        work.move(0.0)
    assert len(made) == 3 * len(recipe.stages[0].objective.turns)
    assert made == recorded


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UsageError("there is no compiler", do="Install one"), "there is no compiler"),
        (ZeroDivisionError("a bug\nof ours"), "ZeroDivisionError: a bug"),
        (OSError("\x1b[2J"), r"OSError: \x1b[2J"),
    ],
)
def test_a_failure_is_one_line(error: Exception, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr(compiler, "_compile", failing)
    messages = StringIO()
    assert compiler.answer({}, messages) == 1
    assert json.loads(messages.getvalue().removeprefix(MESSAGE)) == {"fault": told}


def test_libraries_that_the_run_holds_too_are_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "made_step", lambda *_, **__: None)
    monkeypatch.setattr("memcli.machine.peak_memory", lambda: 500)
    monkeypatch.setattr("memcli.machine.library_memory", lambda: 300)
    spec, recipe, messages = MemorySpec(SOURCE.spec, bases=4, scale=1, rows=3), tiny.recipe(4), StringIO()
    wanted = {"data": spec.data.to_json(), "memory": spec.to_json(), "recipe": recipe.to_json(), "device": "cpu"}
    asked = json.loads(json.dumps({**wanted, "bfloat16": False, "threads": torch.get_num_threads()}))
    assert compiler.answer(asked, messages) == 0
    told = [json.loads(line.removeprefix(MESSAGE)) for line in messages.getvalue().splitlines()]
    assert told == [{"stage": number, "peak_bytes": 200} for number in range(len(recipe.stages))]
