"""What only a GPU can tell, in order and in pieces, for whenever one is at hand for a few minutes.

    python examples/benchmarks/gpu.py --data DIR --out OUT --seconds 540        # as much of the queue as fits
    python examples/benchmarks/gpu.py --data DIR --out OUT --only paper cifar10-10-int8-gpu
    python examples/benchmarks/gpu.py --tiny --data DIR --out OUT               # the whole queue on a CPU, in a minute

The queue: the tests that need CUDA, a room at a time; the paper's step in three precisions, captured and then compiled;
the cells of the results page that are made on a GPU, and their evaluations; and all tests, a room at a time. Each piece
leaves OUT/NAME.json, what became of it, the moment it ends, and OUT/NAME.log, what it printed. Started again with the
same OUT, the queue goes on: what has ended is not run again, and a distillation that was stopped continues from its
checkpoint, with the steps that were compiled. Copy OUT to the next machine. With --beside N so many pieces run at the
same time, and with --chunk SECONDS none takes longer before the next one has its turn.
"""

import argparse
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import results

ROOT = Path(__file__).resolve().parents[2]
CELLS = ("cifar10-10-int8-gpu", "cifar10-1-gpu", "cifar10-50-int8-gpu")
EVALUATIONS = ("eval", "eval-rtp", "eval-idc")
GRACE = 20  # seconds that a piece has to save its state in, after it is told to stop
LEAST = 15  # seconds: with less time left no piece is begun
CUDA_TESTS = "(cuda or gpu) and not test_gpu"  # that one runs the queue itself
PAPER = {"captured": "memcli:eager", "compiled": "memcli"}  # by piece, a method of bench_engine.py


@dataclass(frozen=True)
class Piece:
    """One command of the queue. `ends_by` are the exit codes that mean that it has ended and need not run again."""

    name: str
    command: list[str]  # without Python
    most_seconds: float
    ends_by: tuple[int, ...] = (0,)


def queue(data: str, out: Path, workers: int, tiny: bool) -> list[list[Piece]]:
    """Every piece, in the order in which they are run: all of a list before any of the next."""
    pytest = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:benchmark", "-W", "ignore::DeprecationWarning"]
    if workers > 1:
        pytest += ["-n", str(workers)]
    tests, benchmarks = ROOT / "tests", ROOT / "examples" / "benchmarks"
    paper = [str(benchmarks / "bench_engine.py"), "--paper", "--keep", str(out / "paper-rows.jsonl")]
    sizes = ["--widths", "4", "--batches", "10", "--steps", "2", "--repeats", "1"]
    paper += sizes if tiny else ["--device", "cuda"]
    cell = [str(benchmarks / "results.py"), "--results", str(out / "results"), "run"]
    cells, papers = (("tiny",), {"captured": PAPER["captured"]}) if tiny else (CELLS, PAPER)  # compiling takes long
    of_cuda = {"engine": [str(tests / "engine" / "test_functional.py")]} if tiny else cuda_tests()
    rooms = ["test_text.py"] if tiny else sorted(path.name for path in tests.iterdir() if list(path.rglob("test_*.py")))
    failed_too = (0, 1, 5)  # of pytest: failures are a result, and so is a room without such tests
    made = [
        *(Piece(f"cuda-{room}", [*pytest, "-k", CUDA_TESTS, *each], 240, failed_too) for room, each in of_cuda.items()),
        *(Piece(f"paper-{name}", [*paper, "--methods", method], 120) for name, method in papers.items()),
        *(Piece(name, [*cell, name, "--data", data, "--steps", "distill"], 3600) for name in cells),
    ]
    looked_at = [
        *(
            Piece(f"{name}-{step}", [*cell, name, "--data", data, "--steps", step], 1200)
            for name in cells
            for step in EVALUATIONS
        ),
        *(Piece(f"tests-{Path(room).stem}", [*pytest, str(tests / room)], 300, failed_too) for room in rooms),
    ]
    if tiny:  # a CPU may be busy
        made, looked_at = ([replace(piece, most_seconds=math.inf) for piece in pieces] for pieces in (made, looked_at))
    return [made, looked_at]


def cuda_tests() -> dict[str, list[str]]:
    """The files of tests that name CUDA, by room."""
    files: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if "cuda" in path.read_text(encoding="utf-8"):
            files.setdefault(path.relative_to(ROOT / "tests").parts[0].removesuffix(".py"), []).append(str(path))
    return files


def main(arguments: list[str] | None = None) -> int:
    """0 when the whole queue has ended, 1 when some of it is left or has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="DATA", help="the folder of data sets, as in results.py")
    parser.add_argument("--out", type=Path, required=True, help="the folder of what comes out")
    parser.add_argument("--seconds", type=float, default=540, help="the time that this call may take")
    parser.add_argument("--workers", type=int, default=1, help="processes of the tests; more than 1 needs pytest-xdist")
    parser.add_argument("--beside", type=int, default=1, help="pieces that run at the same time")
    parser.add_argument("--chunk", type=float, default=math.inf, help="the most seconds that a piece takes at once")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only pieces whose names begin so")
    parser.add_argument("--tiny", action="store_true", help="at sizes that a CPU does in seconds, to try the queue")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    ends_at = time.monotonic() + given.seconds
    ended: list[bool] = []
    for pieces in queue(given.data, given.out.resolve(), given.workers, given.tiny):
        asked = [piece for piece in pieces if piece.name.startswith(tuple(given.only or [""]))]
        with ThreadPoolExecutor(given.beside) as pool:
            ended += pool.map(lambda piece: run(piece, given.out, ends_at, given.chunk), asked)
    print(f"{sum(ended)} of {len(ended)} pieces have ended", flush=True)
    return 0 if all(ended) else 1


def run(piece: Piece, out: Path, ends_at: float, chunk: float = math.inf) -> bool:
    """Run a piece that has not ended before, for `chunk` seconds and until `ends_at` (of time.monotonic) at most;
    whether it has ended now.
    """
    record = out / f"{piece.name}.json"
    if record.exists() and json.loads(record.read_text(encoding="utf-8"))["ended"]:
        return True
    allowed = min(piece.most_seconds, chunk, ends_at - time.monotonic() - GRACE)
    if allowed < LEAST:
        return False
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(out.resolve() / "compiled")  # it goes along to the next machine
    with (out / f"{piece.name}.log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, *piece.command], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        stopped = not _waited(process, allowed)
    code = process.wait()
    ended = not stopped and code in piece.ends_by
    said = {
        "command": shlex.join(["python", *piece.command]),
        "ended": ended,
        "exit_code": code,
        "stopped": stopped,
        "seconds": round(time.monotonic() - began, 1),
        "machine": results.machine(),
        "commit": results.commit(),
    }
    record.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    how = "stopped" if stopped else f"exit code {code}"
    print(f"{piece.name}: {how} after {said['seconds']} s", flush=True)
    return ended


def _waited(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether the process ended by itself; else it and its children are told to stop, and stopped after GRACE."""
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
    stop_at = time.monotonic() + GRACE
    with suppress(ProcessLookupError):  # no one of the group is left
        while time.monotonic() < stop_at:
            process.poll()  # else it stays in the group as a zombie
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    return False


if __name__ == "__main__":
    sys.exit(main())
