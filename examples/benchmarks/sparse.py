"""Sparse addresses beside dense ones and beside real images, at equal bytes: accuracies on the validation part.

    python examples/benchmarks/sparse.py --data DIR --out sparse.jsonl            # what is missing of the table
    python examples/benchmarks/sparse.py --out sparse.jsonl --table               # the table of what was measured

Each measurement is a line of the file, written the moment it is there, so that it can be stopped and goes on. Each
memory is measured as it starts and after `--steps` outer steps, by networks that are trained for the same number of
images. `--only TEXT` makes the measurements whose names have this in them.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from memcli.data.sources import Source, open_source
from memcli.distillation.loop import Distillation
from memcli.distillation.recipe import Outer, Recipe, Stage, load_recipe
from memcli.distillation.settings import RunSettings
from memcli.files.memoryfile import stored
from memcli.jobs.baselines.base import random_subset
from memcli.memory.memory import Memory
from memcli.memory.spec import MemorySpec
from memcli.networks import build
from memcli.objectives.unrolled import Unrolled
from memcli.progress import Silent
from memcli.training.loop import Batch, accuracy, real_batches, recalled_batches, train
from memcli.training.recipe import TrainRecipe

SOURCES = {
    "fashion": "torchvision:FashionMNIST@{data}",
    "mnist": "torchvision:MNIST@{data}",
    "cifar10": "parquet:{data}/cifar10",
}
TRAINING = TrainRecipe("convnet:width=32", steps=1000, batch=50, lr=0.02, decay=1.0)


@dataclass(frozen=True)
class Cell:
    """A memory within the budget; 0 bases: real images of whole size, one byte a pixel and channel."""

    bases: int = 0
    support: int = 0
    scale: int = 2
    storage: str = "int4"
    rows: int | None = None  # None: all that fit

    @property
    def name(self) -> str:
        if not self.bases:
            return "real images"
        return f"{self.support or 'all'} of {self.bases}, scale {self.scale}, {self.storage}"

    def spec(self, source: Source, budget: int) -> MemorySpec:
        """All rows that fit into so many bytes."""
        return MemorySpec.from_budget(
            source.spec,
            bytes=budget,
            bases=self.bases,
            scale=self.scale,
            rows=self.rows,
            storage=self.storage,
            support=self.support,
        )


def recipe(outer: Outer, steps: int) -> Recipe:
    """The middle stage of `quick` alone, on images that are averaged down."""
    objective = Unrolled(network="convnet:width=32,depth=2,side=14", per_class=5)
    return replace(load_recipe("quick"), stages=(Stage(objective, outer, steps),), check=TRAINING, check_networks=1)


def trained(batch: Batch, work: Distillation, training: TrainRecipe, networks: int) -> list[float]:
    """The accuracies of networks that were trained on minibatches."""
    found = []
    for seed in range(networks):
        network = build(training.network, work.spec.data, seed=seed)
        train(network, training, batch, Silent(), seed=seed)
        found.append(accuracy(network, work.validation, work.spec.data))
    return found


def measured(memory: Memory, work: Distillation, training: TrainRecipe, networks: int) -> list[float]:
    return trained(recalled_batches(stored(memory), training.batch, 0, training.mixture), work, training, networks)


def run(
    cell: Cell, source: Source, budget: int, given: argparse.Namespace, known: set[str]
) -> Iterator[dict[str, Any]]:
    """The measurements of a cell that are not known yet: at the start, and after the outer steps."""
    training = replace(TRAINING, steps=given.train)
    outer = Outer(lr=given.lr, clip=2.0, decay=0.5)
    spec = cell.spec(source, budget) if cell.bases else MemorySpec(source.spec, 1, 1, 1)
    names = {0: f"{given.source} {given.ipc}ipc: {cell.name}, start"}
    if cell.bases and given.steps:
        names[given.steps] = f"{given.source} {given.ipc}ipc: {cell.name}, {given.steps} steps at {given.lr}"
    if not set(names.values()) - known:
        return
    work = Distillation(source, spec, recipe(outer, max(1, given.steps)), RunSettings(seed=given.seed))
    size = {"bytes": spec.bytes, "rows": spec.rows}
    if not cell.bases:
        per_class = budget // (len(source.spec.classes) * source.spec.floats_per_image)
        some = random_subset(source.split("train"), source.spec, per_class, given.seed)
        batch = real_batches(some, source.spec, training.batch, given.seed)
        size = {"bytes": per_class * len(source.spec.classes) * source.spec.floats_per_image, "rows": per_class}
    for steps, name in names.items():
        if name in known:
            continue
        began = time.process_time()
        for step in range(steps):
            work.move(step / steps)
        learned = time.process_time() - began
        accuracies = (
            measured(work.loop.average.memory, work, training, given.networks)
            if cell.bases
            else trained(batch, work, training, given.networks)
        )
        yield {"name": name, **size, "accuracies": accuracies, "lr": work.loop.average.lr, "seconds": learned}


def table(lines: list[dict[str, Any]]) -> str:
    """The measurements as Markdown."""
    rows = ["| memory | bytes | images per class | accuracy, % |", "|---|---|---|---|"]
    for line in lines:
        mean = 100 * sum(line["accuracies"]) / len(line["accuracies"])
        rows.append(f"| {line['name']} | {line['bytes']:,} | {line['rows']:,} | {mean:.1f} |")
    return "\n".join(rows)


def parsed(text: str) -> Cell:
    """A cell from `support/bases/scale/storage` and rows, if not all, such as 16/256/1/int4; `real`: real images."""
    if text == "real":
        return Cell()
    support, bases, scale, storage, *rows = text.split("/")
    return Cell(int(bases), int(support), int(scale), storage, *map(int, rows))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="DATA", help="the folder of data sets")
    parser.add_argument("--source", default="fashion", help=f"{', '.join(SOURCES)}, or what memcli reads")
    parser.add_argument("--ipc", type=int, default=10, help="the budget: the bytes of so many images a class, float32")
    parser.add_argument("--cells", nargs="+", type=parsed, default=[Cell()], metavar="SUPPORT/BASES/SCALE/STORAGE")
    parser.add_argument("--steps", type=int, default=200, help="outer steps; 0: only the start")
    parser.add_argument("--train", type=int, default=TRAINING.steps, help="steps of each network, 50 images each")
    parser.add_argument("--networks", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.01, help="of the outer steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("sparse.jsonl"))
    parser.add_argument("--table", action="store_true", help="only print the table of what was measured")
    given = parser.parse_args(arguments)
    lines = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    if given.table:
        print(table(lines))
        return
    source = open_source(SOURCES.get(given.source, given.source).format(data=given.data))
    budget = given.ipc * 4 * len(source.spec.classes) * source.spec.floats_per_image
    for cell in given.cells:
        for line in run(cell, source, budget, given, {line["name"] for line in lines}):
            with given.out.open("a") as file:
                print(json.dumps(line), file=file)
            print(line, flush=True)


if __name__ == "__main__":
    main()
