"""What `memcli distill --dry-run` promises beside what the run then takes: time, memory, and whether a budget is kept.

    python examples/benchmarks/promises.py --data /data --keep promises.jsonl
    python examples/benchmarks/promises.py --data /data --keep promises.jsonl --only digits

`--data`: a folder with FashionMNIST, MNIST, cifar10, imagenette and tiny-imagenet-32. Runs that `--keep` holds already
are not made again, so that the same command goes on where it was stopped. All ten take half an hour on two idle cores.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

RUNS = (  # the source below --data, and the settings
    ("digits", "digits", "--steps 60 --no-compile"),
    ("digits in a minute", "digits", "--time-budget 60s"),
    ("MNIST", "torchvision:MNIST@{data}", "--steps 40 --no-compile"),
    ("MNIST, best, in 2 minutes", "torchvision:MNIST@{data}", "--recipe best --time-budget 2m"),
    ("Fashion-MNIST in 4 minutes, compiled", "torchvision:FashionMNIST@{data}", "--time-budget 4m"),
    ("CIFAR-10", "parquet:{data}/cifar10", "--steps 16 --no-compile"),
    ("CIFAR-10 in 2 minutes, tuned", "parquet:{data}/cifar10", "--tune --time-budget 2m"),
    ("imagenette at 32", "imagefolder:{data}/imagenette", "--image-size 32 --steps 16 --compile"),
    ("imagenette at 64 in 3 minutes", "imagefolder:{data}/imagenette", "--image-size 64 --time-budget 3m"),
    ("Tiny ImageNet at 32 in 4 minutes", "parquet:{data}/tiny-imagenet-32", "--time-budget 4m --no-compile"),
)
_SAMPLED = 1.0  # seconds from one look at the memory to the next: a look takes some hundredths
HEAD = ("run", "promised s", "taken s", "taken / promised", "promised MiB", "taken MiB", "taken / promised", "budget")


def measured(command: list[str]) -> tuple[float, float, str]:
    """Seconds and MiB that a command took, and what it printed. RuntimeError where it failed.

    The memory is that of the command and all processes below it at one time: one that compiles is beside one that
    learns. Nothing that an earlier command compiled is there.
    """
    temporary = tempfile.TemporaryFile
    with temporary("w+") as output, temporary("w+") as errors, tempfile.TemporaryDirectory() as compiled:
        began, memory = time.monotonic(), 0.0
        here = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": compiled}
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=here)
        while process.poll() is None:
            memory = max(memory, resident(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SAMPLED)
        took = time.monotonic() - began
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {errors.read()[-2000:]}")
        return took, memory, output.read()


def resident(root: int) -> float:
    """MiB of memory of a process and all below it: what each has alone, and once the most that one of them shares.

    A library that several of them load counts once, and in full whatever other programs load it as well.
    """
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    tree = {root}
    while more := {process for process, parent in parents.items() if parent in tree} - tree:
        tree |= more
    alone, shared = 0, 0
    for process in tree:
        with suppress(OSError, KeyError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]  # the first names addresses
            kib = {name: int(words.split()[0]) for name, _, words in (text.partition(":") for text in lines)}
            private = kib["Private_Clean"] + kib["Private_Dirty"]
            alone, shared = alone + private, max(shared, kib["Rss"] - private)
    return (alone + shared) / 1024


def promise(name: str, source: str, settings: str, folder: Path) -> dict[str, Any]:
    """One row: what the dry run promised and what the run took."""
    command = [sys.executable, "-m", "memcli", "distill", source, *settings.split(), "--json", "-q"]
    command += ["-o", str(folder / "memory.safetensors"), "--force"]
    load = os.getloadavg()[0]
    seconds, _, told = measured([*command, "--dry-run"])
    plan = json.loads(told)
    taken, memory, made = measured(command)
    return {
        "run": name,
        "settings": settings,
        "promised": plan["seconds"],
        "taken": taken,
        "promised_mib": plan["peak_bytes"] / 2**20,
        "taken_mib": memory,
        "dry_run_seconds": seconds,
        "parts": plan["parts"],
        "accuracy": json.loads(made)["validation"]["accuracy"],
        "load": load,
    }


def line(row: dict[str, Any]) -> str:
    """The row as one of a table in Markdown."""
    words = row["settings"].split()
    budget = words[words.index("--time-budget") + 1] if "--time-budget" in words else "-"
    limit = float(budget[:-1]) * {"s": 1, "m": 60}[budget[-1]] if budget != "-" else 0.0
    kept = f"{budget}: {100 * row['taken'] / limit:.0f} %" if limit else "-"
    figures = (
        f"{row['promised']:.0f}",
        f"{row['taken']:.0f}",
        f"{row['taken'] / row['promised']:.2f}",
        f"{row['promised_mib']:.0f}",
        f"{row['taken_mib']:.0f}",
        f"{row['taken_mib'] / row['promised_mib']:.2f}",
        kept,
    )
    return f"| {row['run']} | {' | '.join(figures)} |"


def main() -> None:
    """Make the runs that are still to be made, and print the table of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--only", default="", help="make only runs whose name holds this")
    given = parser.parse_args()
    rows = [json.loads(text) for text in given.keep.read_text().splitlines()] if given.keep.exists() else []
    known = {row["run"] for row in rows}
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    for row in rows:
        print(line(row))
    for name, source, settings in RUNS:
        if name in known or given.only not in name:
            continue
        folder = Path(tempfile.mkdtemp())
        try:
            row = promise(name, source.format(data=given.data), settings, folder)
        finally:
            shutil.rmtree(folder)
        with given.keep.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(line(row), flush=True)


if __name__ == "__main__":
    main()
