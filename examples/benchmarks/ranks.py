"""How much sooner several processes are done with the same work than one: memcli's `--nproc`, one thread each.

    python examples/benchmarks/ranks.py --data /data --nproc 2

Each row is one work by one process and by as many as asked for, in turns; the quicker of each counts. The files and the
accuracies are compared: they must be the same. (Files that more than two processes distil differ by rounding.)

- distill: each step in so many replicas; the seconds are those from the first look at the validation images to the
  last, so without reading, compiling and the choice of retraining.
- tune: the whole command, whose trials are shared out and then the steps.
- eval: two trainings for each process; continual: two streams for each; the seconds that the commands tell, of all but
  the beginning of Python.

`--data`: a folder with MNIST and cifar10. Ten minutes on two idle cores. `--tiny` tries it on made data, in a minute.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COUNTED = 2  # times that each is run, in turns; the quicker one counts
DIGITS, MNIST, CIFAR = "digits", "torchvision:MNIST@{data}", "parquet:{data}/cifar10"
FAKE = "fake:classes=3,shape=1x8x8,n=120,test=30"
DISTILLED = ((DIGITS, 200), (MNIST, 40), (CIFAR, 24))  # and how many steps
TUNED, EVALUATED = ((DIGITS, 60),), ((DIGITS, 20), (CIFAR, 2))  # the steps of what is evaluated do not matter
STREAMS = ("permutations:tasks=4", MNIST, 2_000)  # and the steps of SGD

Outcome = tuple[float, str]  # seconds, and what must be the same


def memcli(*words: object) -> str:
    """What a command prints, by one thread."""
    command = [sys.executable, "-m", "memcli", *map(str, words), "-q"]
    here = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, check=True, env=here, stdout=subprocess.PIPE, text=True).stdout


def distilled(folder: Path, source: str, steps: int, *how: object) -> Outcome:
    """What the steps and looks of a distillation take, and the checksum of its file."""
    output = folder / "memory.safetensors"
    memcli("distill", source, "-o", output, "--steps", steps, "--no-compile", *how)
    taken = [json.loads(line)["seconds"] for line in Path(f"{output}.run", "metrics.jsonl").read_text().splitlines()]
    return float(taken[-1] - taken[0]), hashlib.sha256(output.read_bytes()).hexdigest()


def tuned(folder: Path, source: str, steps: int, *how: object) -> Outcome:
    """What a distillation takes whose size is chosen, and the checksum of its file."""
    output, began = folder / "memory.safetensors", time.monotonic()
    memcli("distill", source, "-o", output, "--steps", steps, "--no-compile", "--tune", *how)
    return time.monotonic() - began, hashlib.sha256(output.read_bytes()).hexdigest()


def figures(*words: object) -> Outcome:
    """What a command tells of its time, and all else that it tells."""
    told: dict[str, Any] = json.loads(memcli(*words, "--json"))
    return float(told.pop("seconds")), json.dumps({**told, "memory": "", "output": ""})


def row(title: str, alone: Callable[[Path], Outcome], together: Callable[[Path], Outcome]) -> None:
    """Run both in turns, in new folders, and print them."""
    found: dict[str, list[Outcome]] = {"alone": [], "together": []}
    for _ in range(COUNTED):
        for name, work in (("alone", alone), ("together", together)):
            with tempfile.TemporaryDirectory() as folder:
                found[name].append(work(Path(folder)))
    one, several = (min(seconds for seconds, _ in found[name]) for name in ("alone", "together"))
    same = "yes" if len({what for each in found.values() for _, what in each}) == 1 else "NO"
    print(f"| {title} | {one:.1f} s | {several:.1f} s | {one / several:.2f} | {same} |", flush=True)


def rows(data: Path, count: int, tiny: bool) -> dict[str, tuple[Callable[[Path], Outcome], Callable[[Path], Outcome]]]:
    """Each work by its title: how one process does it, and how several do."""
    made: dict[str, tuple[Callable[[Path], Outcome], Callable[[Path], Outcome]]] = {}
    replicas, nproc = ("--replicas", count), ("--nproc", count)
    for name, work, given in (("distill", distilled, DISTILLED), ("tune", tuned, TUNED)):
        for source, steps in [(FAKE, 4)] if tiny else given:
            place = source.format(data=data)
            made[f"{name}, {source}, {steps} steps"] = (
                lambda folder, work=work, place=place, steps=steps: work(folder, place, steps, *replicas),
                lambda folder, work=work, place=place, steps=steps: work(folder, place, steps, *nproc),
            )
    for source, steps in [(FAKE, 2)] if tiny else EVALUATED:
        place = source.format(data=data)

        def evaluated(folder: Path, *how: object, place: str = place, steps: int = steps) -> Outcome:
            memory = folder / "memory.safetensors"
            memcli("distill", place, "-o", memory, "--steps", steps, "--no-compile")
            return figures("eval", memory, "--data", place, "--runs", 2 * count, *how)

        made[f"eval, {source}, {2 * count} networks"] = (evaluated, lambda folder, work=evaluated: work(folder, *nproc))
    benchmark, source, steps = ("permutations:tasks=2,images=40,memory=10", FAKE, 20) if tiny else STREAMS
    words = ("continual", benchmark, "--data", source.format(data=data), "--steps", steps, "--runs", 2 * count)
    made[f"continual, {benchmark}, {2 * count} streams"] = (
        lambda folder: figures(*words, "-o", folder / "out"),
        lambda folder: figures(*words, "-o", folder / "out", *nproc),
    )
    return made


def main() -> None:
    """Print a row for each work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--nproc", type=int, default=2)
    parser.add_argument("--only", default="", help="make only rows whose title holds this")
    parser.add_argument("--tiny", action="store_true", help="made data and few steps: to try the script")
    given = parser.parse_args()
    print(
        f"| work | one process | {given.nproc} | quicker by | the same |\n| --- | --- | --- | --- | --- |", flush=True
    )
    for title, (alone, together) in rows(given.data, given.nproc, given.tiny).items():
        if given.only in title:
            row(title, alone, together)


if __name__ == "__main__":
    main()
