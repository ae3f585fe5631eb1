"""Time and memory of testing a network on real images, by how many are tested at once; one thread.

    python examples/benchmarks/bench_testing.py --sides 32 64 128 --at-once 500 128 32 8

Images are drawn. Each row is a process of its own, since memory is its peak beyond that of the start.
"""

import argparse
import subprocess
import sys
import time

import torch

from memcli.data.sources import open_source
from memcli.distillation.recipe import load_recipe
from memcli.distillation.sizes import fitted
from memcli.machine import peak_memory
from memcli.networks import build
from memcli.training.loop import predictions

IMAGES = 256


def row(side: int, at_once: int) -> str:
    """A line of the table: milliseconds an image, and MiB."""
    torch.set_num_threads(1)
    source = open_source(f"fake:n=20,test={max(IMAGES, at_once)},classes=10,shape=3x{side}x{side}")
    network = build(fitted(load_recipe("quick"), source.spec).retrain.network, source.spec, seed=0)
    test, before = source.split("test"), peak_memory()
    predictions(network, test.subset(torch.arange(at_once)), source.spec, at_once)
    began = time.process_time()
    predictions(network, test, source.spec, at_once)
    took = 1000 * (time.process_time() - began) / len(test)
    return f"| {side} | {at_once} | {took:.2f} | {(peak_memory() - before) / 2**20:.0f} |"


def main() -> None:
    """Print a row for each size and number as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--at-once", type=int, nargs="+", default=[500, 128, 32, 8])
    parser.add_argument("--row", action="store_true", help="one row, in this process")
    given = parser.parse_args()
    if given.row:
        print(row(given.sides[0], given.at_once[0]))
        return
    print("| side | at once | ms an image | MiB more |\n| --- | --- | --- | --- |", flush=True)
    for side in given.sides:
        for at_once in given.at_once:
            command = [sys.executable, __file__, "--row", "--sides", str(side), "--at-once", str(at_once)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
