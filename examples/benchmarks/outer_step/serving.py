"""One cell, in its own process: it answers on stdout."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from memcli.engine import Tensors, why_not_compiled
from memcli.engine.allocation import keep_freed_memory
from memcli.errors import UsageError
from outer_step.cell import VARIANTS, Cell, Row
from outer_step.comparison import COMPARED, encoded, flat, relative
from outer_step.gauges import PeakMemory, finish, resident
from outer_step.methods import METHODS, by_unroll, uncompiled
from outer_step.problem import Problem


def serve(cell: Cell, max_gb: float) -> None:
    """Print the answers as lines of JSON; where one cannot be had, the reason as the last of them."""
    try:
        for answer in answers(cell, max_gb):
            print(json.dumps(answer), flush=True)
    except UsageError as error:  # such as an operation that has no forward derivative
        print(json.dumps({"reason": str(error)}), flush=True)
    except (MemoryError, RuntimeError) as error:
        if not any(word in str(error).lower() for word in ("memory", "alloc", "primitive")):  # the last is oneDNN's
            raise
        said = str(error).partition("\n")[0]
        print(json.dumps({"reason": f"more than {max_gb:.3g} GB of memory ({said})"}), flush=True)


def answers(cell: Cell, max_gb: float) -> Iterator[Row]:
    """Set up, say so, and answer each line of stdin."""
    tf32 = cell.precision == "tf32"
    for backend in (torch.backends.cudnn.conv, torch.backends.cuda.matmul):  # type: ignore[attr-defined]
        backend.fp32_precision = "tf32" if tf32 else "ieee"
    if cell.device == "cpu":
        limit = int(resident("VmData") * 1e6 + max_gb * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    if cell.method in VARIANTS:
        keep_freed_memory()  # as the command line does
    method = METHODS[cell.method]
    # The libraries' code is loaded: the compiler's, and what a tiny outer step needs.
    tiny = replace(cell, width=4, batch=cell.classes, steps=1, real=cell.classes)
    if VARIANTS.get(cell.method, {}).get("compile"):
        why_not_compiled(torch.device(cell.device))
        tiny = replace(tiny, method="memcli:eager")
    method(Problem(tiny))
    problem = Problem(cell)
    gradient: Tensors = ()
    peak = PeakMemory(problem.device)
    yield {"ready": True}
    for line in sys.stdin:
        match line.strip():
            case "step":
                finish(problem.device)
                began = time.perf_counter()
                gradient = method(problem)
                finish(problem.device)
                yield {"seconds": time.perf_counter() - began, "peak_mb": peak.megabytes()}
            case "gradient":
                shorter = gradient if cell.steps <= COMPARED else method(Problem(replace(cell, steps=COMPARED)))
                yield {"error": encoded(shorter), "drift": encoded(gradient)}
            case "operations":
                yield {"gflop": operations(cell)}
            case "float64":
                yield {"error64": error_against_float64(cell)}


def operations(cell: Cell) -> float:
    """Gflop of an outer step, those of convolutions and matrix products: counted for T = 1 and 2, and linear in T."""
    counts = []
    for steps in (1, 2):
        method = uncompiled(cell.method)  # the counter does not know the names of compiled operations
        problem = Problem(replace(cell, steps=steps, method=method))
        METHODS[method](problem)  # records the steps, which is not counted
        with FlopCounterMode(display=False) as counter:
            METHODS[method](problem)
        counts.append(counter.get_total_flops() / 1e9)
    return counts[0] + (cell.steps - 1) * (counts[1] - counts[0])


def error_against_float64(cell: Cell) -> float:
    """The relative error of the gradient on a smaller problem, against autograd through its unroll in float64.

    Not compiled, since compiling a second size takes a minute: the operations and their precision are the same.
    """
    smaller = {"width": 32, "batch": 2 * cell.classes, "steps": 10, "real": 100}
    method = uncompiled(cell.method)
    problem = Problem(
        replace(cell, method=method, **{name: min(getattr(cell, name), n) for name, n in smaller.items()})
    )
    return relative(flat(METHODS[method](problem)), flat(by_unroll(problem, torch.float64)))
