"""How much sooner several processes are done with the same steps than one: `memcli distill --nproc`, one thread each.

    python examples/benchmarks/ranks.py --data /data --nproc 2

Each row computes every step in so many replicas, in one process and in as many, in turns; the seconds are those from
the first look at the validation images to the last, so without reading, compiling and the choice of retraining.
`--data`: a folder with MNIST and cifar10. Two minutes on two idle cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = (  # the source below --data, and how many steps
    ("digits", "digits", 200),
    ("MNIST", "torchvision:MNIST@{data}", 40),
    ("CIFAR-10", "parquet:{data}/cifar10", 24),
)
COUNTED = 2  # times that each is run, in turns; the quicker one counts


def seconds(source: str, steps: int, *how: str) -> float:
    """What the steps and looks of one run took."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "memory.safetensors"
        command = [sys.executable, "-m", "memcli", "distill", source, "-o", str(output), "--steps", str(steps), "-q"]
        subprocess.run(
            [*command, "--no-compile", *how], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=sys.stderr
        )
        lines = Path(f"{output}.run", "metrics.jsonl").read_text().splitlines()
        taken = [json.loads(line)["seconds"] for line in lines]
        return float(taken[-1] - taken[0])


def main() -> None:
    """Print a row for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--nproc", type=int, default=2)
    parser.add_argument("--only", default="", help="make only runs whose name holds this")
    given = parser.parse_args()
    print("| data | steps | replicas | one process | as many | quicker by |\n| --- | --- | --- | --- | --- | --- |")
    for name, place, steps in RUNS:
        if given.only not in name:
            continue
        source, count = place.format(data=given.data), str(given.nproc)
        turns = [
            (seconds(source, steps, "--replicas", count), seconds(source, steps, "--nproc", count))
            for _ in range(COUNTED)
        ]
        alone, together = (min(one) for one in zip(*turns, strict=True))
        print(f"| {name} | {steps} | {count} | {alone:.1f} s | {together:.1f} s | {alone / together:.2f} |", flush=True)


if __name__ == "__main__":
    main()
