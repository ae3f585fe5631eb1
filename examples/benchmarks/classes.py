"""The paper's claim that a memory need not grow with the classes: bytes at equal accuracy, by the number of classes.

    python examples/benchmarks/classes.py run --data parquet:DIR/tiny-imagenet-32 --out OUT --time-budget 10m
    python examples/benchmarks/classes.py page --out docs/classes  # docs/classes.md, and classes.svg beside it

For each number of classes, drawn by one seed so that smaller sets are parts of larger ones, memories of several budgets
are distilled by the default recipe. What counts is how many bytes a memory needs for the accuracy that EQUAL random
images of each class give; between two budgets it is read off a straight line of accuracy against the logarithm of
bytes. Networks are trained as each memory's file says, and for long, with augmentation, as the recipe `--augmented`
measures: on the memory and on random images alike, and each has the best of its accuracies. Every figure is in
OUT/classes.json the moment it is there, and what is there is not made again; a distillation that was stopped goes on.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import panels
import torch

import memcli
from memcli.data.images import LabelledImages
from memcli.data.sources import Source, open_source
from memcli.distillation.recipe import load_recipe
from memcli.distillation.sizes import fitted
from memcli.files import atomic
from memcli.jobs.baselines.base import random_subset
from memcli.memory.memory import Memory
from memcli.networks import build
from memcli.seeds import generator
from memcli.training.loop import Batch, accuracy, real_batches, recalled_batches, train
from memcli.training.recipe import TrainRecipe

CLASSES, BUDGETS, EQUAL = (10, 20, 50, 100, 200), (0.25, 0.5, 1.0), 10
NAME = "classes.json"
Curve = Sequence[tuple[float, float]]  # bytes and accuracy


def part(source: Source, classes: int, seed: int) -> Source:
    """`source` with so many of its classes, drawn by `seed`; all that fewer would draw are among them."""
    order = torch.randperm(len(source.classes), generator=generator(seed, "some classes"))
    kept = order[:classes].sort().values
    place = torch.full((len(source.classes),), -1)
    place[kept] = torch.arange(len(kept))

    def load(split: str) -> LabelledImages:
        whole = source.split(split)
        chosen = (place[whole.labels] >= 0).nonzero().flatten()
        return LabelledImages(whole.images[chosen], place[whole.labels[chosen]])

    name = f"{source.name}, {classes} of {len(source.classes)} classes"
    return Source(name, tuple(source.classes[number] for number in kept.tolist()), source.shape, load)


def bytes_at(curve: Curve, wanted: float) -> float | None:
    """The bytes at which `curve`, by growing bytes, first reaches `wanted`; None where it does not, or begins above."""
    for (few, low), (many, high) in pairwise(sorted(curve)):
        if low <= wanted <= high and high > low:
            return few * math.exp((wanted - low) / (high - low) * math.log(many / few))
    return None


def run(given: argparse.Namespace) -> None:
    """Make the figures that are not in OUT yet, small sets of classes first."""
    whole = open_source(given.data)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / NAME
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def keep(name: str, found: Mapping[str, Any]) -> None:
        figures[name] = dict(found)
        atomic.write_bytes(path, (json.dumps(figures, indent=1) + "\n").encode(), force=True)
        print(f"{name}: {found}", flush=True)

    for classes in (number for number in given.classes if number <= len(whole.classes)):
        source = part(whole, classes, given.seed)
        augmented = fitted(load_recipe(given.augmented), source.spec).check
        random = {"bytes": given.equal * classes * source.spec.floats_per_image * 4}
        if (name := f"{classes} classes, {given.equal} random, augmented") not in figures:
            keep(name, random | {"accuracy": _on_random(source, augmented, given)})
        for ipc in given.budgets:
            memory = f"{classes} classes, memory of {ipc:g}"
            long, raw = f"{memory}, augmented", f"{classes} classes, {given.equal} random, as on memory of {ipc:g}"
            if {memory, long, raw} <= figures.keys():
                continue
            file = given.out / f"{classes}-{ipc:g}.safetensors"
            work = {"steps": given.steps} if given.steps else {"time_budget": given.time_budget}
            made = memcli.distill(
                source, file, ipc=ipc, recipe=given.recipe, seed=given.seed, resume=True, device="cpu", **work
            )
            told = {"bytes": made.artifact.spec.bytes, "steps": made.steps, "seconds": made.seconds}
            own = made.artifact.manifest.retrain
            for name, training in ((memory, own), (long, augmented)):
                if name not in figures:
                    keep(name, told | {"accuracy": _on_memory(source, made.artifact.memory, training, given)})
            if raw not in figures:
                keep(raw, random | {"accuracy": _on_random(source, own, given)})


def _on_random(source: Source, training: TrainRecipe, given: argparse.Namespace) -> list[float]:
    """Test accuracies of networks that are trained on EQUAL random images of each class, drawn anew for each."""

    def batches(seed: int) -> Iterator[Batch]:
        images = random_subset(source.split("train"), source.spec, given.equal, seed)
        return real_batches(images, source.spec, training.batch, seed)

    return _trained(source, training, batches, given)


def _on_memory(source: Source, memory: Memory, training: TrainRecipe, given: argparse.Namespace) -> list[float]:
    """Test accuracies of networks that are trained on what `memory` recalls."""
    images = training.images(len(source.classes))
    return _trained(source, training, lambda seed: recalled_batches(memory, images, seed, training.mixture), given)


def _trained(
    source: Source, training: TrainRecipe, batches: Callable[[int], Iterator[Batch]], given: argparse.Namespace
) -> list[float]:
    """Test accuracies of networks that are trained on the batches of a seed each."""
    training, found = replace(training, network=given.network), []
    for seed in range(given.seed, given.seed + given.runs):
        network = build(training.network, source.spec, seed=seed)
        train(network, training, batches(seed), seed=seed)
        found.append(accuracy(network, source.split("test"), source.spec))
    return found


def table(figures: Mapping[str, Any], equal: int) -> list[dict[str, Any]]:
    """A row for each number of classes of which there are figures."""
    rows = []
    for classes in sorted({int(name.split()[0]) for name in figures}):
        mine = {name.partition(", ")[2]: found for name, found in figures.items() if int(name.split()[0]) == classes}
        of = {name: (found["bytes"], sum(found["accuracy"]) / len(found["accuracy"])) for name, found in mine.items()}
        wanted = max((pair for name, pair in of.items() if name.startswith(f"{equal} random")), default=None)
        best: dict[int, float] = {}  # accuracy by bytes
        for size, reached in (pair for name, pair in of.items() if name.startswith("memory")):
            best[size] = max(reached, best.get(size, 0.0))
        memories = sorted(best.items())
        needed = None if wanted is None else bytes_at(memories, wanted[1])
        rows.append({"classes": classes, "random": wanted, "memories": memories, "needed": needed})
    return rows


def page(figures: Mapping[str, Any], equal: int) -> str:
    """The table as Markdown."""
    lines = [
        "# Bytes at equal accuracy, by the number of classes",
        "",
        f"How many bytes a memory needs for the accuracy that {equal} random images of each class give, in float32. "
        "Made by `examples/benchmarks/classes.py page` from `classes/classes.json`; edit those, not this.",
        "",
        "A larger set of classes holds the smaller ones. Networks are ConvNet-3 of width 32, two for each figure, and "
        "are trained in two ways: as the memory's file says, and for long, with augmentation. Memories and random "
        "images have the better mean of these on test images, so that neither is trained in a way that does not suit "
        "it. [The log](log/2026-11-28-bytes-by-classes.md) says how it came out.",
        "",
        f"| classes | accuracy of {equal} random images of each | their bytes | memory at equal accuracy |"
        " of each class | a share of | budgets measured: bytes, accuracy |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table(figures, equal):
        size, reached = row["random"] or (math.nan, math.nan)
        needed = row["needed"]
        told = (
            ("not between them", "", "")
            if needed is None
            else (f"{needed:,.0f}", f"{needed / row['classes']:,.0f}", f"{100 * needed / size:.1f} %")
        )
        memories = "; ".join(f"{small:,}: {100 * share:.2f} %" for small, share in row["memories"])
        lines.append(f"| {row['classes']} | {100 * reached:.2f} % | {size:,.0f} | {' | '.join(told)} | {memories} |")
    return "\n".join([*lines, "", "![Bytes by the number of classes](classes.svg)", ""])


def chart(figures: Mapping[str, Any], equal: int) -> str:
    """Bytes by the number of classes, as SVG: of random images, and of memories at equal accuracy."""
    rows = table(figures, equal)
    lines = {
        f"{equal} random images of each": [(row["classes"], row["random"] and row["random"][0]) for row in rows],
        "memory, as accurate": [(row["classes"], row["needed"]) for row in rows],
    }
    return panels.svg("Bytes at equal accuracy", {"classes": lines}, "bytes")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "page"))
    parser.add_argument("--data", default="parquet:../shared/data/tiny-imagenet-32", help="a source with many classes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--to", type=Path, default=Path("docs/classes.md"))
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES)
    parser.add_argument("--budgets", type=float, nargs="+", default=BUDGETS, help="images of each class, in numbers")
    parser.add_argument("--equal", type=int, default=EQUAL, help="random images of each class, to be equalled")
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--augmented", default="many@1", help="the recipe by whose check networks are trained, too")
    parser.add_argument("--steps", type=int, help="outer steps of each distillation, in place of the time")
    parser.add_argument("--time-budget", default="10m", help="of each distillation")
    parser.add_argument("--network", default="convnet:width=32", help="that is trained to measure")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.what == "run":
        run(given)
        return 0
    figures = json.loads((given.out / NAME).read_text(encoding="utf-8"))
    atomic.write_bytes(given.to, page(figures, given.equal).encode(), force=True)
    atomic.write_bytes(given.to.with_suffix(".svg"), chart(figures, given.equal).encode(), force=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
