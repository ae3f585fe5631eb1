"""The process that compiles beside learning: one made step of every stage, told and heard as memcli.distillation.beside
says. What it computes is dropped; what it has compiled stays in torch's folder of compiled code.
"""

import json
import os
import signal
import sys
import threading
from typing import Any, TextIO

import torch

from memcli import machine
from memcli.data.images import LabelledImages
from memcli.data.real import RealImages
from memcli.distillation.beside import MESSAGE
from memcli.distillation.recipe import recipe_from_json
from memcli.engine import peak_memory
from memcli.errors import MemcliError
from memcli.files.manifest import data_spec, memory_spec
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.objectives import ObjectiveSettings
from memcli.objectives.turns import made
from memcli.text import printable

_LR = 0.01  # of the made step


def main() -> int:
    """Compile what a line of standard input asks for. The exit code: 0, or 1 where that failed."""
    wanted = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_standard_input, daemon=True).start()
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")  # no program that the compiler starts inherits it
    os.dup2(2, 1)  # whatever else is printed is no message
    return answer(wanted, messages)


def answer(wanted: dict[str, Any], messages: TextIO) -> int:
    """Compile, and tell of each stage that it is done, or what went wrong. The exit code."""
    try:
        _compile(wanted, messages)
    except Exception as error:
        what = error.what if isinstance(error, MemcliError) else f"{type(error).__name__}: {error}"
        _tell(messages, fault=printable(what.splitlines()[0]))
        return 1
    return 0


def made_step(spec: MemorySpec, settings: ObjectiveSettings, device: torch.device, bfloat16: bool) -> None:
    """Compile the steps of an objective, by one of each family of networks, for noise."""
    objective = made(settings.shortest(), spec, device, compile=True, bfloat16=bfloat16)
    data = spec.data
    labels = torch.arange(len(data.classes)).repeat_interleave(getattr(settings, "real_per_class", 1))
    noise = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (len(labels), *data.shape), dtype=torch.uint8, generator=noise)
    parts = {name: torch.randn(shape, generator=noise) for name, shape in spec.shapes.items()}
    cells = torch.zeros(data.height, data.width, dtype=torch.uint8) if spec.cells else None
    support = torch.arange(spec.support).expand(parts["addresses"].shape).contiguous() if spec.support else None
    memory = Memory(spec, **parts, cells=cells, support=support).to(device).rounded()
    real = RealImages(LabelledImages(pixels, labels), data, device)
    for step in range(len(settings.turns)):
        objective.step(memory, _LR, real, seed=0, step=step)


def _compile(wanted: dict[str, Any], messages: TextIO) -> None:
    from torch._inductor import config

    config.compile_threads = max(1, machine.cores() // 2)  # the others are learning's
    torch.set_num_threads(wanted["threads"])  # the code is made for as many
    device, spec = torch.device(wanted["device"]), memory_spec(wanted["memory"], data_spec(wanted["data"]))
    for number, stage in enumerate(recipe_from_json(wanted["recipe"]).stages):
        made_step(spec, stage.objective, device, wanted["bfloat16"])
        shared = 0 if device.type == "cuda" else machine.library_memory()  # which the process that learns holds too
        _tell(messages, stage=number, peak_bytes=peak_memory(device) - shared)


def _tell(messages: TextIO, **said: Any) -> None:
    messages.write(f"{MESSAGE}{json.dumps(said)}\n")
    messages.flush()


def _leave_with_standard_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
