"""Time and memory of memcli's outer step, beside what a PyTorch user would write, or install, instead.

    python examples/benchmarks/bench_engine.py                        # widths 32, 128; batches 20, 100; T 10, 30, 100
    python examples/benchmarks/bench_engine.py --widths 32 --batches 20 --steps 30 --json
    python examples/benchmarks/bench_engine.py --cost --plot docs/performance.svg  # against T, batch, width and classes
    python examples/benchmarks/bench_engine.py --paper --device cuda  # the paper's CIFAR-10 step

An outer step: draw a fresh ConvNet-3, train it for T steps of SGD with momentum on recalled images of 3x32x32, and
differentiate its loss on real images with respect to the memory. Every method does all of it, from the same draws, in a
process of its own; the processes of a cell take turns, step by step, so that a busy machine slows all of them alike.
The gradients are compared. How to read the tables: docs/performance.md. One long file, so that it can be read and run
alone: the methods, one cell, many cells, tables and plot, the command.
"""

import argparse
import base64
import importlib
import importlib.util
import itertools
import json
import math
import os
import platform
import resource
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import panels
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.flop_counter import FlopCounterMode

from memcli import seeds
from memcli.data.images import LabelledImages
from memcli.data.real import RealImages
from memcli.data.spec import DataSpec
from memcli.engine import (
    Checkpointed,
    Direct,
    Fastest,
    ForwardOverReverse,
    ReverseOverReverse,
    Tensors,
    Traced,
    compiled,
    in_bfloat16,
    quick_in_bfloat16,
    why_not_compiled,
)
from memcli.engine.allocation import keep_freed_memory
from memcli.errors import UsageError
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.networks import build
from memcli.objectives import UnrolledObjective
from memcli.objectives.unrolled import Unrolled

SEED, LR, MOMENTUM = 0, 0.001, 0.9
COMPARED = 3  # inner steps: over many more, sign flips of ReLUs amplify rounding without bound (docs/performance.md)
SHAPE, BASES, SCALE, ROWS = (3, 32, 32), 16, 2, 20
TOLERANCE = 5e-3  # of two gradients in float32, relatively: a few flipped signs of ReLUs (docs/performance.md)
PRECISIONS = ("fp32", "tf32", "bf16")
SETUP_SECONDS = 600  # for a process to import torch and build its problem
WAYS = tuple(partial(Traced, way=way, backend=compiled) for way in (ReverseOverReverse, ForwardOverReverse))
FLOAT32, AUTOCAST = "memcli:float32", "unroll:autocast"
VARIANTS: dict[str, dict[str, Any]] = {
    "memcli": {"compile": True},  # what `memcli distill` does in a run that is long enough to pay for compiling
    FLOAT32: {"compile": True},  # the same, never rounded
    "memcli:eager": {},  # as in a shorter run
    "memcli:checkpointed": {"adjoint": Checkpointed(), "compile": True},
    "memcli:direct": {"adjoint": Direct()},
    "memcli:compiled": {"derivatives": WAYS[0]},  # on CUDA: not captured as graphs
    "memcli:autograd": {"derivatives": ReverseOverReverse},
    "memcli:forward": {"derivatives": WAYS[1]},
    "memcli:fastest": {"derivatives": partial(Fastest, ways=WAYS)},
}
UNRECORDED = ("memcli:direct", "memcli:autograd", "memcli:fastest")  # there is no list of operations to round in
Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One measurement: the outer step of one method."""

    width: int
    batch: int  # recalled images in an inner step
    steps: int  # T
    classes: int = 10
    method: str = "memcli"
    real: int = 100  # real images in the outer loss
    precision: str = "fp32"
    device: str = "cpu"

    @property
    def network(self) -> str:
        return f"convnet:width={self.width}"  # depth 3, for images of 32x32


# ---------------------------------------------------------------- the methods, each from a problem to the same gradient


class Problem:
    """What the methods share: a memory, real images, a fresh network's weights, and the rows drawn for each step."""

    def __init__(self, cell: Cell) -> None:
        self.cell, self.device = cell, torch.device(cell.device)
        classes = tuple(map(str, range(cell.classes)))
        self.data = DataSpec("noise", *SHAPE, classes, (0.5,) * 3, (0.25,) * 3)
        self.spec = MemorySpec(self.data, BASES, SCALE, ROWS)
        draw = seeds.generator(SEED, "benchmark")
        bases, addresses = (torch.randn(shape, generator=draw) for shape in self.spec.shapes.values())
        self.memory = Memory(self.spec, bases, addresses / math.sqrt(BASES)).to(self.device)
        per_class = max(cell.real // cell.classes, 1)
        labels = torch.arange(cell.classes).repeat_interleave(per_class)
        pixels = torch.randint(256, (len(labels), *SHAPE), generator=draw, dtype=torch.uint8)
        self.real = RealImages(LabelledImages(pixels, labels), self.data, self.device)
        self.per_class = per_class
        settings = Unrolled(cell.network, cell.steps, cell.batch // cell.classes, False, MOMENTUM, per_class)
        self.objective = UnrolledObjective(settings, self.spec, self.device, **_ways(cell))

    def network(self) -> nn.Module:
        """The ConvNet-3 as it is usually written, with the fresh weights that memcli draws."""
        width, layers = self.cell.width, list[nn.Module]()
        with seeds.isolated(SEED, "overwritten"):
            for channels in (SHAPE[0], width, width):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.GroupNorm(width, width)]
                layers += [nn.ReLU(), nn.AvgPool2d(2)]
            network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * width, self.cell.classes))
        fresh = build(self.cell.network, self.data, seed=SEED, purpose="inner", step=0)
        with torch.no_grad():
            for own, drawn in zip(network.parameters(), fresh.parameters(), strict=True):
                own.copy_(drawn)
        return network.to(self.device)

    def controls(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """Bases and addresses, as leaves."""
        bases, addresses = (t.to(dtype, copy=True) for t in (self.memory.bases, self.memory.addresses))
        return bases.requires_grad_(), addresses.requires_grad_()

    def recalled(self, bases: Tensor, addresses: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The images and labels of each inner step."""
        for query in self.objective.queries(SEED, 0):
            labels = query.labels.to(bases.dtype)
            coefficients = torch.einsum("nc,nck->nk", labels, addresses[query.rows])
            small = torch.einsum("nk,kchw->nchw", coefficients, bases)
            yield interpolate(small, scale_factor=SCALE, mode="bilinear", align_corners=False), labels

    def outer_loss(self, network: Callable[[Tensor], Tensor], dtype: torch.dtype = torch.float32) -> Tensor:
        images, labels = self.real.batch(self.per_class, SEED, 0)
        return cross_entropy(network(images.to(dtype)), labels)


def by_memcli(problem: Problem) -> Tensors:
    gradients = problem.objective.step(problem.memory, LR, problem.real, SEED, 0).gradients
    return gradients["bases"], gradients["addresses"]


def by_unroll(problem: Problem, dtype: torch.dtype = torch.float32) -> Tensors:
    """Autograd through the unroll, as one writes it in plain PyTorch."""
    network, controls = problem.network().to(dtype), problem.controls(dtype)
    params = {name: param.detach().requires_grad_() for name, param in network.named_parameters()}
    velocity = [torch.zeros_like(param) for param in params.values()]
    for images, labels in problem.recalled(*controls):
        loss = cross_entropy(functional_call(network, params, (images,)), labels)
        gradients = torch.autograd.grad(loss, list(params.values()), create_graph=True)
        velocity = [MOMENTUM * v + g for v, g in zip(velocity, gradients, strict=True)]
        params = {name: p - LR * v for (name, p), v in zip(params.items(), velocity, strict=True)}
    loss = problem.outer_loss(lambda images: functional_call(network, params, (images,)), dtype)
    return torch.autograd.grad(loss, controls)


def by_autocast(problem: Problem) -> Tensors:
    """The same where torch rounds what it holds to be safe to round."""
    with torch.autocast(problem.device.type, dtype=torch.bfloat16):
        return by_unroll(problem)


def by_higher(problem: Problem) -> Tensors:
    higher = importlib.import_module("higher")
    network, controls = problem.network(), problem.controls()
    optimiser = torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)
    with higher.innerloop_ctx(network, optimiser) as (trained, differentiable):
        for images, labels in problem.recalled(*controls):
            differentiable.step(cross_entropy(trained(images), labels))
        return torch.autograd.grad(problem.outer_loss(trained), controls)


def by_torchopt(problem: Problem) -> Tensors:
    torchopt = importlib.import_module("torchopt")
    network, controls = problem.network(), problem.controls()
    optimiser = torchopt.MetaSGD(network, lr=LR, momentum=MOMENTUM)
    for images, labels in problem.recalled(*controls):
        optimiser.step(cross_entropy(network(images), labels))
    return torch.autograd.grad(problem.outer_loss(network), controls)


METHODS: dict[str, Callable[[Problem], Tensors]] = {
    **dict.fromkeys(VARIANTS, by_memcli),
    "unroll": by_unroll,
    AUTOCAST: by_autocast,
    "higher": by_higher,
    "torchopt": by_torchopt,
}


def _ways(cell: Cell) -> dict[str, Any]:
    """The arguments of UnrolledObjective that a method and a precision stand for."""
    ways, rounded = VARIANTS.get(cell.method, {}), cell.precision == "bf16"
    own = ways.get("derivatives")
    if rounded and own is not None:
        return {**ways, "derivatives": partial(own, backend=in_bfloat16(own.keywords["backend"]))}
    return {**ways, "bfloat16": rounded}


def unavailable(cell: Cell) -> str | None:
    """Why a cell cannot be measured here, if it cannot."""
    if cell.method in ("higher", "torchopt") and importlib.util.find_spec(cell.method) is None:
        return f"{cell.method} is not installed"
    if cell.precision == "tf32" and cell.device == "cpu":
        return "TF32 needs a CUDA device"
    recorded = cell.method in VARIANTS and cell.method not in UNRECORDED
    if cell.precision == "bf16" and not recorded and cell.method != AUTOCAST:
        return "only the steps that memcli records are computed in bfloat16"
    return None


# ---------------------------------------------------------------- one cell, in its own process: it answers on stdout


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
        limit = int(_resident("VmData") * 1e6 + max_gb * 1e9)
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
                _finish(problem.device)
                began = time.perf_counter()
                gradient = method(problem)
                _finish(problem.device)
                yield {"seconds": time.perf_counter() - began, "peak_mb": peak.megabytes()}
            case "gradient":
                shorter = gradient if cell.steps <= COMPARED else method(Problem(replace(cell, steps=COMPARED)))
                yield {"error": _encoded(shorter), "drift": _encoded(gradient)}
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
    return relative(_flat(METHODS[method](problem)), _flat(by_unroll(problem, torch.float64)))


def uncompiled(method: str) -> str:
    """The method that does the same operations without compiling them."""
    return "memcli:eager" if method in ("memcli", FLOAT32, "memcli:compiled") else method


class PeakMemory:
    """Megabytes (10^6 bytes) at most in use since it was made, above what was in use then.

    On a CPU of the resident size, which the kernel counts; on CUDA of what torch allocates.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            with suppress(OSError):  # no such file off Linux: the peak is then that of the process's whole life
                Path("/proc/self/clear_refs").write_text("5")
        self._start = torch.cuda.memory_allocated() / 1e6 if self._cuda else _resident("VmRSS")

    def megabytes(self) -> float:
        return (torch.cuda.max_memory_allocated() / 1e6 if self._cuda else _resident("VmHWM")) - self._start


def _resident(field: str) -> float:
    """A size of this process in megabytes, by its name in /proc/self/status; the largest so far where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{field}:"))


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _flat(tensors: Tensors) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).cpu()


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


# ---------------------------------------------------------------- many cells


@dataclass(frozen=True)
class Limits:
    repeats: int  # timed outer steps, after one that is not
    seconds: float  # that a method may spend on a cell
    gb: float  # that a method may add on a cell, in a CPU's memory


class Worker:
    """The process of one cell. Once it has failed, `reason` says why, and it is asked nothing more."""

    def __init__(self, cell: Cell, limits: Limits) -> None:
        self.cell, self._limits = cell, limits
        self.times, self.peak = list[float](), math.nan
        self._left = limits.seconds
        self.reason = unavailable(cell)
        if self.reason is None:
            command = [sys.executable, __file__, "--one", json.dumps(asdict(cell)), "--max-gb", str(limits.gb)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ready(self) -> None:
        self._answer(SETUP_SECONDS)

    def step(self) -> None:
        """One more step, unless there is no time for it. The first is the warm-up."""
        if len(self.times) > 1 and self.times[-1] > self._left:
            return
        self.begin("step")
        self.end_step()

    def end_step(self) -> None:
        """Wait for the step that was begun."""
        answer = self._answer(self._left)
        if answer:
            self.times.append(answer["seconds"])
            self.peak, self._left = answer["peak_mb"], self._left - answer["seconds"]

    def ask(self, what: str) -> Row:
        """Its answer; nothing once it has failed."""
        self.begin(what)
        return self._answer(SETUP_SECONDS)

    def begin(self, what: str) -> None:
        """Ask, and do not wait for the answer."""
        if self.reason is not None:
            return
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended: reading its answer finds out why
            print(what, file=self._process.stdin, flush=True)

    def _answer(self, seconds: float) -> Row:
        if self.reason is not None:
            return {}
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], max(seconds, 0))
        line = self._process.stdout.readline() if readable else ""
        found: Row = json.loads(line) if line else {}
        if not readable:
            self.reason = f"more than {self._limits.seconds:g} s"
        elif not line:
            code = self._process.wait()
            self.reason = f"the process was killed by signal {-code}" if code < 0 else f"it failed with code {code}"
        else:
            self.reason = found.get("reason")
        if self.reason is not None:
            self.close()
            return {}
        return found

    def close(self) -> None:
        if hasattr(self, "_process"):
            self._process.kill()
            self._process.communicate()

    def row(self) -> Row:
        """What was measured. `seconds` and `peak_mb` are null, with a reason, where no step was timed."""
        cell, timed = self.cell, self.times[1:]
        row = {"network": cell.network, **asdict(cell), "seconds": None, "peak_mb": None}
        if not timed:
            return {**row, "reason": self.reason or "there was no time for a step after the warm-up"}
        found = {"seconds": statistics.median(timed), "peak_mb": round(self.peak, 1)}
        return {**row, **found, "repeats": len(timed), "first_seconds": self.times[0]}


def own_precision(method: str, device: str) -> str:
    """What a method computes in where nothing else is asked for: `memcli` in what `memcli distill` would."""
    rounds = method == AUTOCAST or (method == "memcli" and quick_in_bfloat16(torch.device(device)))
    return "bf16" if rounds else "fp32"


def competitors(cell: Cell, methods: list[str], precisions: tuple[str, ...] = ()) -> list[Cell]:
    """The cell by each method, in each of the precisions or in its own."""
    if precisions:
        return [replace(cell, method=method, precision=prec) for prec in precisions for method in methods]
    return [replace(cell, method=method, precision=own_precision(method, cell.device)) for method in methods]


def measure(cells: list[Cell], limits: Limits, paper: bool = False) -> list[Row]:
    """One row for each of some cells that differ by method and precision only, their processes taking turns.

    `error` is the relative difference from the plain unroll's gradient over at most COMPARED inner steps, `drift` that
    over all of them. Where the plain unroll is not measured in a method's precision, it is that in float32.
    With `paper` all warm up at once, since compiling takes a minute each, and the rows also have the error against
    float64, on a smaller problem.
    """
    workers = [Worker(cell, limits) for cell in cells]
    try:
        for worker in workers:
            worker.ready()
        if paper:
            for worker in workers:
                worker.begin("step")
            for worker in workers:
                worker.end_step()
        for _ in range(limits.repeats + (not paper)):
            for worker in workers:
                worker.step()
        rows = [worker.row() for worker in workers]
        for worker, row in zip(workers, rows, strict=True):
            row.update(worker.ask("operations") if worker.times[1:] else {})
            if paper and row["seconds"]:  # at once: what is left to ask takes as long again
                speed = f"{row['gflop'] / row['seconds'] / 1000:.3g} TFLOP/s"
                said = f"{row['method']} ({row['precision']}): {row['seconds']:.3f} s, {speed}"
                print(said, file=sys.stderr, flush=True)
        gradients = {worker.cell: _decoded(worker.ask("gradient")) for worker in workers if worker.times[1:]}
        for worker, row in zip(workers, rows, strict=True):
            own, unroll = gradients.get(worker.cell), replace(worker.cell, method="unroll")
            reference = gradients.get(unroll, gradients.get(replace(unroll, precision="fp32")))
            if own is not None:
                row.update({name: relative(own[name], reference[name]) for name in own} if own and reference else {})
                row.update(worker.ask("float64") if paper else {})
    finally:
        for worker in workers:
            worker.close()
    return rows


def _encoded(gradient: Tensors) -> str:
    return base64.b64encode(_flat(gradient).numpy().tobytes()).decode()


def _decoded(answer: Row) -> dict[str, Tensor]:
    return {
        name: torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.float32) for name, text in answer.items()
    }


# ---------------------------------------------------------------- tables and the plot


def table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---:"] * len(head), *lines))


def shown(number: float | None, digits: int = 3) -> str:
    if number is None:
        return "-"
    return f"{number:.{max(digits - 1 - math.floor(math.log10(abs(number))), 0)}f}" if number else "0"


def ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def largest(numbers: Iterable[float | None]) -> float | None:
    """Of those that are known; None where none is."""
    return max((number for number in numbers if number is not None), default=None)


def grouped(rows: list[Row], keys: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Row]]:
    """The rows by the values of `keys`, then by method."""
    groups: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), {})[row["method"]] = row
    return groups


def tables(rows: list[Row]) -> str:
    """Time and memory, memory added by an inner step, and operations, each with the methods side by side."""
    methods, keys = list(dict.fromkeys(row["method"] for row in rows)), ("width", "batch", "steps", "classes")
    head, groups = ["width", "batch", "T", "classes"], grouped(rows, keys)
    others = [method for method in methods if method != "unroll"] if "unroll" in methods else []

    def side_by_side(cells: Callable[[dict[str, Row]], list[float | None]]) -> list[list[str]]:
        return [[*map(str, key), *map(shown, cells(group))] for key, group in groups.items()]

    main = table(
        [*head, *(f"{m}, s" for m in methods), *(f"{m}, MB" for m in methods), *(f"{m} ÷ unroll" for m in others)],
        side_by_side(
            lambda group: [
                *(group[m]["seconds"] for m in methods),
                *(group[m]["peak_mb"] for m in methods),
                *(ratio(group[m]["seconds"], group["unroll"]["seconds"]) for m in others),
            ]
        ),
    )
    in_bf16 = {row["method"] for row in rows if row["precision"] == "bf16"}
    rounded, exact = [m for m in others if m in in_bf16], [m for m in others if m not in in_bf16]
    differences = [("difference", exact, "error"), ("over all T", exact, "drift")]
    differences += [(f"{method}, {title}", [method], name) for method in rounded for title, _, name in differences[:2]]
    titles = [title for title, _, _ in differences]
    counted = table(
        [*head, *(f"{m}, Gflop" for m in methods), *(f"{m}, Gflop/s" for m in methods), *titles],
        side_by_side(
            lambda group: [
                *(group[m].get("gflop") for m in methods),
                *(ratio(group[m].get("gflop"), group[m]["seconds"]) for m in methods),
                *(largest(group[m].get(name) for m in some) for _, some, name in differences),
            ]
        ),
    )
    return "\n\n".join([main, *added_by_a_step(rows), counted, *reasons(rows)])


def added_by_a_step(rows: list[Row]) -> list[str]:
    """A table of the memory that one more inner step takes, between the least and the largest T; or nothing."""
    points: dict[tuple[Any, ...], list[tuple[int, float]]] = {}
    for row in rows:
        if row["peak_mb"] is not None:
            key = tuple(row[name] for name in ("width", "batch", "classes", "method"))
            points.setdefault(key, []).append((row["steps"], row["peak_mb"]))
    lines = []
    for (width, batch, classes, method), found in points.items():
        (few, least), (many, most) = min(found), max(found)
        if few < many:
            network = Problem(Cell(width, batch, 1, classes)).network()
            weights = sum(param.numel() for param in network.parameters()) * 4 / 1e6
            per_step = (most - least) / (many - few)
            lines.append([str(width), str(batch), method, *map(shown, (per_step, weights, per_step / weights))])
    head = ["width", "batch", "method", "MB for one more step", "weights, MB", "÷ weights"]
    return [table(head, lines)] if lines else []


def reasons(rows: list[Row]) -> list[str]:
    """One line for each reason why a cell is empty."""
    why: dict[str, list[str]] = {}
    for row in rows:
        if row["seconds"] is None:
            where = f"width {row['width']}, batch {row['batch']}, T = {row['steps']}"
            why.setdefault(f"{row['method']} ({row['precision']}): {row['reason']}", []).append(where)
    return (
        ["\n".join(f"- Not measured: {reason}, at {'; '.join(where)}" for reason, where in why.items())] if why else []
    )


AXES = {"steps": "T", "batch": "images in an inner step", "width": "width", "classes": "classes"}


def series(rows: list[Row], base: Cell, axis: str) -> dict[str, list[tuple[int, float | None]]]:
    """Of each method the (value on the axis, seconds) of the cells that differ from `base` on this axis only."""
    found: dict[str, list[tuple[int, float | None]]] = {}
    for row in rows:
        if all(row[other] == getattr(base, other) for other in AXES if other != axis):
            found.setdefault(row["method"], []).append((row[axis], row["seconds"]))
    return {method: sorted(points) for method, points in found.items()}


def cost_tables(rows: list[Row], base: Cell) -> str:
    parts = []
    for axis, label in AXES.items():
        found = series(rows, base, axis)
        values = [value for value, _ in next(iter(found.values()))]
        seconds = [dict(points) for points in found.values()]
        lines = [[str(value), *(shown(times[value]) for times in seconds)] for value in values]
        parts.append(table([label, *(f"{method}, s" for method in found)], lines))
    fixed = ", ".join(f"{label} {getattr(base, axis)}" for axis, label in AXES.items())
    return "\n\n".join([f"One thing at a time is varied from: {fixed}.", *parts, *reasons(rows)])


def plot(rows: list[Row], base: Cell) -> str:
    """The same as four panels of an SVG."""
    found = {label: series(rows, base, axis) for axis, label in AXES.items()}
    return panels.svg("Seconds of an outer step", found, "seconds of an outer step")


def paper_table(rows: list[Row]) -> str:
    head = ["method", "precision", "T", "width", "images", "s", "warm-up, s", "MB", "Gflop", "TFLOP/s", "to float64"]
    lines = []
    for row in rows:
        rate = ratio(row.get("gflop"), row["seconds"])
        figures = [row["seconds"], row.get("first_seconds"), row["peak_mb"], row.get("gflop")]
        figures += [rate / 1000 if rate else None, row.get("error64")]
        words = [row["method"], row["precision"], str(row["steps"]), str(row["width"]), str(row["batch"])]
        lines.append([*words, *map(shown, figures)])
    return "\n\n".join([table(head, lines), *reasons(rows)])


def machine(device: str) -> str:
    """What the figures were measured on, with its own ceilings: a matrix product, and a copy in memory."""
    side, words = (8192, 1 << 28) if device == "cuda" else (1024, 1 << 24)
    matrix, block = torch.ones(side, side, device=device), torch.ones(words, device=device)
    target = torch.empty_like(block)

    def seconds(run: Callable[[], object]) -> float:
        times = []
        for _ in range(6):
            _finish(matrix.device)
            began = time.perf_counter()
            run()
            _finish(matrix.device)
            times.append(time.perf_counter() - began)
        return min(times[1:])

    product, copy = 2 * side**3 / seconds(lambda: matrix @ matrix), 8 * words / seconds(lambda: target.copy_(block))
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    return (
        f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}; a product of "
        f"{side}x{side} matrices runs at {product / 1e9:.0f} Gflop/s, a copy of {4 * words >> 20} MiB at "
        f"{copy / 1e9:.1f} GB/s (read and written)."
    )


def fill(page: Path, place: str, text: str) -> None:
    """Put `text` between the marks of `place` in a page that has them."""
    begin, end = marks(place)
    before, rest = page.read_text(encoding="utf-8").split(begin)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")


def marks(place: str) -> tuple[str, str]:
    return f"<!-- {place}: begin -->", f"<!-- {place}: end -->"


# ---------------------------------------------------------------- the command


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--cost", action="store_true", help="time against T, batch, width and classes, one at a time")
    mode.add_argument("--paper", action="store_true", help="T = 150, 320 images, width 128, 640 real; each precision")
    mode.add_argument("--one", metavar="CELL", help=argparse.SUPPRESS)
    for name in ("widths", "batches", "steps", "classes"):
        parser.add_argument(f"--{name}", type=int, nargs="+", metavar="N")
    parser.add_argument("--methods", nargs="+", choices=METHODS, metavar="METHOD", help=f"of {', '.join(METHODS)}")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--repeats", type=int, default=3, help="timed steps after the warm-up; the median is shown")
    parser.add_argument("--max-seconds", type=float, default=300, help="that a method may take for all steps of a cell")
    parser.add_argument(
        "--max-gb", type=float, help="that a method may add in memory (CPU; default 80%% of what is free)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, and no tables")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep rows in FILE, and go on where it ends")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also put the tables into their place in FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="with --cost: write the plot, an SVG, to FILE")
    given = parser.parse_args(argv)
    defaults: dict[str, list[Any]] = {
        "widths": [32, 128],
        "batches": [20, 100],
        "steps": [10, 30, 100],
        "classes": [10],
    }
    ours = ["memcli", FLOAT32] if own_precision("memcli", given.device) == "bf16" else ["memcli"]
    methods = [*ours, "unroll", "higher", "torchopt"]
    given.place = "cost" if given.cost else "paper" if given.paper else "tables"
    if given.cost:
        defaults = {"widths": [16, 32, 64, 128], "batches": [20, 50, 100, 200], "steps": [5, 10, 20, 40]}
        defaults["classes"], methods = [2, 5, 10, 20, 50, 100], [*ours, "unroll"]
    elif given.paper:
        defaults, methods = {"widths": [128], "batches": [320], "steps": [150], "classes": [10]}, ["memcli"]
        if given.device == "cuda":
            methods = ["memcli:eager", "memcli"]  # captured steps are ready long before compiled ones
    for name, default in {**defaults, "methods": methods}.items():
        setattr(given, name, getattr(given, name) or default)
    if min(*given.widths, *given.batches, *given.steps, *given.classes, given.repeats) < 1:
        parser.error("sizes and repeats must be 1 or more")
    if given.plot and not given.cost:
        parser.error("--plot belongs to --cost")
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA device")
    if given.markdown and not (
        given.markdown.is_file() and all(mark in given.markdown.read_text() for mark in marks(given.place))
    ):
        parser.error(f"{given.markdown} is no file with the marks {' and '.join(marks(given.place))}")
    uneven = next((c for c in cells(given) if c.batch % c.classes), None) if not given.one else None
    if uneven:
        parser.error(f"a batch of {uneven.batch} does not divide into {uneven.classes} classes")
    return given


def base_cell(given: argparse.Namespace) -> Cell:
    """What --cost varies one thing at a time from; the first that is asked for where the usual value is not."""
    usual: dict[str, Any] = {"width": 32, "batch": 100, "steps": 10, "classes": 10}
    asked = {"width": given.widths, "batch": given.batches, "steps": given.steps, "classes": given.classes}
    chosen = {name: value if value in asked[name] else asked[name][0] for name, value in usual.items()}
    return replace(Cell(1, 1, 1, device=given.device), **chosen)


def cells(given: argparse.Namespace) -> list[Cell]:
    """What is measured, each with every method, in this order."""
    if not given.cost:
        real = 640 if given.paper else 100
        sizes = itertools.product(given.widths, given.batches, given.steps, given.classes)
        return [Cell(*size, real=real, device=given.device) for size in sizes]
    base = base_cell(given)
    axes = {"steps": given.steps, "batch": given.batches, "width": given.widths, "classes": given.classes}
    return list(dict.fromkeys(replace(base, **{axis: value}) for axis, values in axes.items() for value in values))


def turns(given: argparse.Namespace) -> Iterator[tuple[Cell, list[str]]]:
    """Each cell with the methods that take turns: all of them; for the paper's step, each alone in its precisions."""
    for cell in cells(given):
        for methods in [[method] for method in given.methods] if given.paper else [given.methods]:
            yield cell, methods


def free_gb() -> float:
    """80 % of the memory that is free now; of all memory where the system does not say."""
    free = os.sysconf("SC_AVPHYS_PAGES") if sys.platform == "linux" else os.sysconf("SC_PHYS_PAGES")
    return 0.8 * free * os.sysconf("SC_PAGE_SIZE") / 1e9


def kept(file: Path | None) -> list[Row]:
    """The rows of earlier runs, from lines of JSON; none where there is no file yet."""
    if file is None or not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def disagreeing(rows: list[Row]) -> list[Row]:
    """The rows in float32 whose gradient is not that of the plain unroll; one that is not finite is not, either."""
    errors = [(row, row.get("error")) for row in rows if row["precision"] == "fp32"]
    return [row for row, error in errors if error is not None and not error <= TOLERANCE]


def main(argv: list[str] | None = None) -> int:
    """0; or 1 where a gradient differs from that of the plain unroll."""
    given = arguments(argv)
    limits = Limits(given.repeats, given.max_seconds, given.max_gb or free_gb())
    if given.one:
        serve(Cell(**json.loads(given.one)), limits.gb)
        return 0
    rows, earlier = list[Row](), kept(given.keep)
    for cell, methods in turns(given):
        asked = competitors(cell, methods, PRECISIONS if given.paper else ())
        known = {way: row for way in asked for row in earlier if asdict(way).items() <= row.items()}
        if len(known) == len(asked):
            rows += known.values()
            continue
        found = measure(asked, limits, paper=given.paper)
        for row in found:
            error = row.get("error")
            said = row.get("reason") or f"{row['seconds']:.3f} s, {row['peak_mb']:.0f} MB"
            said += (
                ""
                if error is None or row["method"] == "unroll"
                else f", gradient differs by {error:.1e} (over all T {row['drift']:.1e})"
            )
            where = f"width {row['width']}, batch {row['batch']}, T = {row['steps']}, {row['classes']} classes"
            print(f"{where}, {row['method']} ({row['precision']}): {said}", file=sys.stderr, flush=True)
        rows += found
        if given.keep:
            with given.keep.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in found)
    if given.plot:
        given.plot.write_text(plot(rows, base_cell(given)), encoding="utf-8")
    if given.json:
        print(json.dumps({"rows": rows}))
    if given.markdown or not given.json:
        body = {"cost": lambda: cost_tables(rows, base_cell(given)), "paper": lambda: paper_table(rows)}
        text = f"{machine(given.device)}\n\n{body.get(given.place, lambda: tables(rows))()}"
        if given.plot and given.markdown:
            text += f"\n\n![Seconds of an outer step]({os.path.relpath(given.plot, given.markdown.parent)})"
        if not given.json:
            print(text)
        if given.markdown:
            fill(given.markdown, given.place, text)
    if wrong := disagreeing(rows):
        print(f"{len(wrong)} gradients differ by more than {TOLERANCE:g}, relatively", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
