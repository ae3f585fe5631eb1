"""How quickly a network is trained on images, and looks at images: by memcli, and by plain PyTorch.

    python examples/benchmarks/bench_training.py               # ConvNet-3 of width 128, a minute or two each line
    python examples/benchmarks/bench_training.py --widths 32 --batches 20 --json

Each side is a process of its own and does as its users would: memcli's what `memcli retrain` and `memcli eval` do,
PyTorch's the same with torch's own layers and allocator. They take turns, so that other work slows both alike. A figure
is the median of `--repeats` turns of `--steps` minibatches, after one turn that is not counted.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import results
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from memcli.data.images import LabelledImages
from memcli.data.spec import DataSpec
from memcli.engine.allocation import keep_freed_memory
from memcli.networks import build
from memcli.training.loop import predictions, real_batches, train
from memcli.training.recipe import TrainRecipe

SHAPES = {"28x28": (1, 28, 28), "32x32": (3, 32, 32)}
PARTS = ("trained", "looked")
LR, MOMENTUM, CLASSES, SEED = 0.01, 0.9, 10, 0
Parts = tuple[Callable[[], Any], Callable[[], Any]]  # what trains on all minibatches, and what looks at all images


def images(shape: str, number: int) -> tuple[DataSpec, LabelledImages]:
    """Noise with labels."""
    channels, draw = SHAPES[shape][0], torch.Generator().manual_seed(SEED)
    spec = DataSpec("noise", *SHAPES[shape], tuple(map(str, range(CLASSES))), (0.5,) * channels, (0.25,) * channels)
    pixels = torch.randint(256, (number, *SHAPES[shape]), generator=draw, dtype=torch.uint8)
    return spec, LabelledImages(pixels, torch.arange(number) % CLASSES)


def by_memcli(shape: str, width: int, batch: int, steps: int) -> Parts:
    keep_freed_memory()
    spec, real = images(shape, batch * steps)
    recipe = TrainRecipe(f"convnet:width={width}", steps, batch, LR, MOMENTUM)
    network, minibatches = build(recipe.network, spec, seed=SEED), real_batches(real, spec, batch, SEED)
    return lambda: train(network, recipe, minibatches), lambda: predictions(network, real, spec)


def by_pytorch(shape: str, width: int, batch: int, steps: int) -> Parts:
    (channels, side, _), (_, real) = SHAPES[shape], images(shape, batch * steps)
    layers, pad = list[nn.Module](), 1 + (-side % 8) // 2  # 28 becomes 32, as in the literature
    for before, padding in ((channels, pad), (width, 1), (width, 1)):
        layers += [nn.Conv2d(before, width, 3, padding=padding), nn.GroupNorm(width, width), nn.ReLU(), nn.AvgPool2d(2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * width, CLASSES))
    optimiser = torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)
    pixels = (real.images.float() / 255 - 0.5) / 0.25

    def training() -> None:
        for chosen in torch.randperm(len(pixels)).split(batch):
            optimiser.zero_grad()
            cross_entropy(network(pixels[chosen]), real.labels[chosen]).backward()
            optimiser.step()

    @torch.no_grad()
    def looking() -> None:
        for part in pixels.split(500):
            network(part).argmax(1)

    return training, looking


SIDES = {"memcli": by_memcli, "pytorch": by_pytorch}


def serve(side: str, *cell: Any) -> None:
    """Take a turn for each line read, and print how long its two parts took, in seconds."""
    parts = SIDES[side](*cell)
    for _ in sys.stdin:
        times = [time.perf_counter()]
        for part in parts:
            part()
            times.append(time.perf_counter())
        print(json.dumps([times[1] - times[0], times[2] - times[1]]), flush=True)


def measure(shape: str, width: int, batch: int, steps: int, repeats: int) -> dict[str, Any]:
    """Images a second by side and part, and how many times as fast memcli is."""
    command = [sys.executable, __file__, "--serve"]
    cells = {side: json.dumps([side, shape, width, batch, steps]) for side in SIDES}
    workers = {
        side: subprocess.Popen([*command, cell], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for side, cell in cells.items()
    }
    turns: dict[str, list[list[float]]] = {side: [] for side in SIDES}
    for _ in range(1 + repeats):
        for side, worker in workers.items():
            assert worker.stdin is not None
            assert worker.stdout is not None
            print("turn", file=worker.stdin, flush=True)
            line = worker.stdout.readline()
            if not line:
                for each in workers.values():
                    each.communicate()  # so that what the others say of it does not follow ours
                sys.exit(f"{side} ended at {shape}, width {width}, batch {batch}, as it says above. Give other sizes.")
            turns[side].append(json.loads(line))
    for worker in workers.values():
        worker.communicate()
    row: dict[str, Any] = {"images": shape, "width": width, "batch": batch}
    for place, part in enumerate(PARTS):
        for side in SIDES:
            row[f"{side} {part}"] = batch * steps / statistics.median(turn[place] for turn in turns[side][1:])
        row[f"{part}, ratio"] = row[f"memcli {part}"] / row[f"pytorch {part}"]
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table."""

    def shown(name: str, value: Any) -> str:
        return value if isinstance(value, str) else f"{value:.2f}" if name.endswith("ratio") else f"{value:,.0f}"

    return results.table(list(rows[0]), [[shown(name, value) for name, value in row.items()] for row in rows])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--widths", nargs="+", type=int, default=[128])
    parser.add_argument("--batches", nargs="+", type=int, default=[20, 50, 290])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.serve:
        serve(*given.serve)
        return
    cells = product(given.images, given.widths, given.batches)
    rows = [measure(*cell, given.steps, given.repeats) for cell in cells]
    print(json.dumps({"rows": rows}) if given.json else table(rows))


if __name__ == "__main__":
    main()
