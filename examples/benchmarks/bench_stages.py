"""Processor seconds of an outer step of each stage of a recipe, by the size of images; one thread, not compiled.

    python examples/benchmarks/bench_stages.py
    python examples/benchmarks/bench_stages.py --recipe best --sides 32 128

Two checkouts are compared by PYTHONPATH, in turns. Images are drawn; the memory has the floats of one image per class.
"""

import argparse
import statistics
import time

import torch

from memcli.data.real import RealImages
from memcli.data.sources import open_source
from memcli.distillation.recipe import load_recipe
from memcli.distillation.sizes import fitted
from memcli.memory.spec import MemorySpec
from memcli.memory.start import from_noise

CPU = torch.device("cpu")


def seconds(recipe_name: str, side: int, steps: int) -> list[tuple[str, float]]:
    """Each stage's network, and the median of `steps` steps after the first."""
    source = open_source(f"fake:n=300,test=10,classes=10,shape=3x{side}x{side}")
    spec = MemorySpec.from_budget(source.spec, floats=10 * source.spec.floats_per_image)
    real, memory = RealImages(source.split("train"), source.spec, CPU), from_noise(spec, 0)
    rows = []
    for stage in fitted(load_recipe(recipe_name), source.spec).stages:
        objective = stage.objective.make(spec, CPU, compile=False, bfloat16=False)
        taken = []
        for step in range(steps + 1):
            began = time.process_time()
            objective.step(memory, 0.01, real, 0, step)
            taken.append(time.process_time() - began)
        rows.append((f"{stage.kind}, {stage.objective.network}", statistics.median(taken[1:])))
    return rows


def main() -> None:
    """Print a row for each size and stage as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--steps", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| side | stage | seconds |\n| --- | --- | --- |", flush=True)
    for side in given.sides:
        for stage, took in seconds(given.recipe, side, given.steps):
            print(f"| {side} | {stage} | {took:.3f} |", flush=True)


if __name__ == "__main__":
    main()
