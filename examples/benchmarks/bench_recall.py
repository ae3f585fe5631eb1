"""How fast a memory is recalled into files, in how much memory, by format and by number of images.

    python examples/benchmarks/bench_recall.py
    python examples/benchmarks/bench_recall.py --formats npz webdataset --counts 100000 1000000 --inspect

The memory is of random numbers: ten classes, 1x28x28, forty bases at half size. Each cell runs in a process of its
own, as the command line does; `--threads` are torch's. Seconds, and those of the processor, are of `recall` alone, with
the file on disk; MB (10^6 bytes) are at most in use above what was in use before it, without pages of files that the
system may take back at any time. `--inspect` measures the command `memcli inspect`, start and all, on the smallest and
largest file.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from memcli.machine import share_cores

FORMATS = ("npz", "webdataset", "safetensors", "pt", "parquet", "png")
SUFFIXES = {"webdataset": ".tar", "png": ""}  # of others: the name of the format
CLASSES = 10
_PAUSE = 0.005  # seconds between two looks at the memory in use


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[20_000, 100_000], help="images")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--side", type=int, default=28)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--chunk", type=int, default=256, help="images at a time, as of `memcli recall`")
    parser.add_argument("--folder", default=None, help="on the disk to write to")
    parser.add_argument("--inspect", action="store_true", help="measure `memcli inspect` too")
    parser.add_argument("--json", action="store_true", help="rows instead of a table")
    parser.add_argument("--one", nargs=4, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(recalled(*given.one)))
        return
    environment = os.environ | {"OMP_NUM_THREADS": str(given.threads)}
    share_cores(environment)
    if not given.json:
        print(
            "| format | images | images a second | of the processor, a second | MB | file, MB |\n"
            + "| --- |"
            + " ---: |" * 5
        )
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        memories = {count: written(folder / f"{count}.safetensors", count, given) for count in given.counts}
        for format in given.formats:
            for count, memory in memories.items():
                command = [
                    sys.executable,
                    __file__,
                    "--one",
                    str(memory),
                    format,
                    str(folder / "out"),
                    str(given.chunk),
                ]
                runs = []
                for _ in range(given.repeats):
                    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                    runs.append(json.loads(ran.stdout))
                row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                show({"format": format, "images": count, **row}, as_json=given.json)
        if given.inspect:
            for memory in (written(folder / "small.safetensors", CLASSES, given), memories[max(memories)]):
                print(f"inspect of {memory.stat().st_size:,} bytes: {inspected(memory, given.repeats):.2f} s")


def show(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(row), flush=True)
        return
    count = row["images"]
    rates = f"{count / row['seconds']:,.0f} | {count / row['processor']:,.0f}"
    print(f"| {row['format']} | {count:,} | {rates} | {row['mb']:,.0f} | {row['bytes'] / 1e6:,.0f} |", flush=True)


def written(path: Path, count: int, given: argparse.Namespace) -> Path:
    """A memory file that recalls so many images, or the few more that its classes ask for."""
    import torch

    from memcli.data.spec import DataSpec
    from memcli.files import memoryfile
    from memcli.files.manifest import Manifest
    from memcli.memory.memory import Memory
    from memcli.memory.spec import MemorySpec
    from memcli.seeds import generator
    from memcli.training.recipe import TrainRecipe

    classes = tuple(f"class {number}" for number in range(CLASSES))
    data = DataSpec(
        "made", given.channels, given.side, given.side, classes, (0.3,) * given.channels, (0.3,) * given.channels
    )
    spec = MemorySpec(data, bases=40, scale=2 if given.side % 2 == 0 else 1, rows=-(-count // CLASSES))
    tensors = {name: torch.randn(shape, generator=generator(0, name)) * 0.2 for name, shape in spec.shapes.items()}
    told = {"source": "made", "fingerprint": "", "licence": None, "versions": {}}
    memoryfile.write(
        path, memoryfile.Artifact(Memory(spec, **tensors), Manifest(spec, {}, 0, TrainRecipe(), told, {})), force=True
    )
    return path


def recalled(memory: str, format: str, out: str, chunk: str) -> dict[str, float]:
    """Recall once: seconds, and those of the processor; bytes written; 10^6 bytes in use."""
    from memcli import Limits
    from memcli.engine.allocation import keep_freed_memory
    from memcli.files import memoryfile
    from memcli.jobs.recall import recall

    keep_freed_memory()  # as the command line does
    artifact = memoryfile.read(memory)
    path = Path(out + SUFFIXES.get(format, f".{format}"))
    watch = Watch()
    wall, processor = time.monotonic(), time.process_time()
    recall(artifact, path, format=format, chunk=int(chunk), force=True, limits=Limits(max_bytes=1 << 40))
    seconds, busy = time.monotonic() - wall, time.process_time() - processor
    files = path.rglob("*") if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files)
    return {"seconds": seconds, "processor": busy, "mb": watch.stop() / 1e6, "bytes": size}


class Watch:
    """The most memory that is in use from now on, above what is now."""

    def __init__(self) -> None:
        self.before = self.most = in_use()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        while not self.done.wait(_PAUSE):
            self.most = max(self.most, in_use())

    def stop(self) -> int:
        self.done.set()
        self.thread.join()
        return self.most - self.before


def in_use() -> int:
    """Bytes of memory that only this process holds (Linux): not the pages of files, which the system may take back."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def inspected(memory: Path, repeats: int) -> float:
    """Seconds of the command `memcli inspect`, start and all: the median."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "memcli", "inspect", str(memory)], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds[1:])  # the first finds cold files


if __name__ == "__main__":
    main()
