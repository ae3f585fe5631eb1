"""What outer gradients are made of, at a memory on its way: lines of JSON.

    python examples/benchmarks/gradients.py
    python examples/benchmarks/gradients.py --data torchvision:FashionMNIST@DIR --network convnet:depth=2,side=14

The first lines are of windows by their place in the inner training, the last of the whole training: `rho` is the mean
cosine of gradients of different draws, which is the share of their square that is signal, and `toward` the cosine of
the mean gradient and that of the whole training, of which the noise is taken out. The others are of the same draws at
two memories, so many outer steps apart: the mean `cosine`, and `change`, the square of the difference over that of one.
"""

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from memcli.data.sources import open_source
from memcli.distillation.loop import Distillation
from memcli.distillation.outer import Point
from memcli.distillation.recipe import Outer, Stage, load_recipe
from memcli.distillation.settings import RunSettings
from memcli.engine import Stored, Windowed
from memcli.memory.spec import MemorySpec
from memcli.objectives import Objective
from memcli.objectives.unrolled import Unrolled, UnrolledObjective

PARTS = ("bases", "addresses")
APART = (1, 5)  # outer steps between two memories
_FAR = 10**6  # draws of a measurement are not those that the memory was learned on


def distillation(args: argparse.Namespace) -> Distillation:
    """A memory that was learned for `--outer` steps from the data."""
    source = open_source(args.data)
    floats = int(args.ipc * len(source.spec.classes) * source.spec.floats_per_image)
    spec = MemorySpec.from_budget(source.spec, floats=floats, cells=args.cells, most_rows=20)
    unrolled = Unrolled(network=args.network, steps=args.steps, images=args.images, real_images=args.real_images)
    recipe = replace(load_recipe("quick"), lr=args.lr, stages=(Stage(unrolled, Outer("muon", args.rate)),), many="")
    work = Distillation(source, spec, recipe, RunSettings(seed=args.seed, compile=False, bfloat16=False))
    for _ in range(args.outer):
        work.move(0.0)
    return work


def gradients(work: Distillation, objective: Objective, point: Point, draws: range) -> dict[str, Tensor]:
    """Of each part (draws, numbers): its gradient in each of `draws`; and the "loss", (draws,)."""
    memory, seed = point.memory.rounded(), work.settings.seed
    outcomes = [objective.step(memory, point.lr, work.real, seed, draw) for draw in draws]
    named = {part: torch.stack([each.gradients[part].flatten().double() for each in outcomes]) for part in PARTS}
    return {**named, "loss": torch.stack([each.loss for each in outcomes])}


def square(rows: Tensor) -> float:
    """The square of the mean of what `rows`, (n, numbers), are draws of, without the noise that their mean has."""
    n, total = len(rows), rows.sum(0)
    return ((total @ total - rows.square().sum()) / (n * (n - 1))).item()


def by_place(work: Distillation, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The signal of windows of `--window` steps at each place, and of the whole training."""
    whole = work.stage.objective
    taken: dict[int, dict[str, Tensor]] = {}  # by the end of the window; 0: of the whole training
    assert isinstance(whole, Unrolled)
    ends = range(args.window, args.steps + 1, args.window)
    for number, end in enumerate((*ends, 0)):
        settings = replace(whole, steps=end or args.steps)
        adjoint = Windowed(end - args.window, args.window, Stored()) if end else None
        objective = UnrolledObjective(settings, work.spec, torch.device("cpu"), adjoint)
        first = _FAR * (number + 1)
        taken[end] = gradients(work, objective, work.loop.here, range(first, first + args.draws))
    for end, own in taken.items():
        place = [end - args.window, end] if end else "whole"
        row: dict[str, Any] = {"window": place, "loss": own["loss"].mean().item()}
        for part in PARTS:
            alike, reference = (torch.nn.functional.normalize(each[part]) for each in (own, taken[0]))
            rho, size = square(alike), square(alike) * square(reference)
            product = (alike.mean(0) @ reference.mean(0)).item()
            toward = product / math.sqrt(size) if end and size > 0 else None
            row[part] = {"length": own[part].norm(dim=1).mean().item(), "rho": rho, "toward": toward}
        yield row


def successive(work: Distillation, draws: int) -> Iterator[dict[str, Any]]:
    """How alike gradients of the same draws are at memories that are some outer steps apart."""
    numbers = range(_FAR // 2, _FAR // 2 + draws)
    before, steps = gradients(work, work.objective, work.loop.here.copy(), numbers), 0
    for apart in APART:
        for _ in range(apart - steps):
            work.move(0.0)
        steps = apart
        after = gradients(work, work.objective, work.loop.here, numbers)
        row: dict[str, Any] = {"apart": apart}
        for part in PARTS:
            cosine = torch.nn.functional.cosine_similarity(before[part], after[part]).mean().item()
            change = (after[part] - before[part]).square().sum() / before[part].square().sum()
            row[part] = {"cosine": cosine, "change": change.item()}
        yield row


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--ipc", type=float, default=2.0)
    parser.add_argument("--cells", type=int, default=0)
    parser.add_argument("--network", default="convnet:width=32")
    parser.add_argument("--outer", type=int, default=60, help="outer steps that the memory is learned for")
    parser.add_argument("--rate", type=float, default=0.03, help="of these")
    parser.add_argument("--steps", type=int, default=60, help="of the inner training")
    parser.add_argument("--window", type=int, default=20)
    parser.add_argument("--lr", type=float, default=0.02, help="of the inner training, to start from")
    parser.add_argument("--images", type=int, default=20, help="recalled images of an inner step")
    parser.add_argument("--real-images", type=int, default=200)
    parser.add_argument("--draws", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    work = distillation(args)
    for rows in (by_place(work, args), successive(work, args.draws)):
        for row in rows:
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
