"""What a step, a look and a retraining take of memory and time, by classes, by the size of images, and in pieces.

    python examples/benchmarks/bench_memory.py --classes 10 100 1000
    python examples/benchmarks/bench_memory.py --sides 64 128 224 --lighter 0 2 4

Made images, one image per class as the budget, a recipe as `distill` fits it to the data. Each row has a process of its
own, and each part of it its own peak: MB (10^6 bytes) of memory of that process, all in all, from /proc (Linux), with
torch and the images in it. The parts are: the start; the first step of each stage; one more step of the last stage; a
look; some steps of a retraining, and a prediction of some images, as `eval` does both. Trainings of a pool are young,
and those of a look have 20 steps at most, since growing old takes time and no memory. Seconds are of the processor.
`--lighter`: how often the pieces of a minibatch that are differentiated at once are halved, as `distill` does it where
memory does not suffice. Steps are not compiled.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from memcli.machine import share_cores

PER_CLASS, MOST_IMAGES = 50, 50_000
LOOKED = 20  # steps of a training in a look, at most
PARTS = ("start", "steps", "last step", "look", "retraining")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[10])
    parser.add_argument("--sides", type=int, nargs="+", default=[32])
    parser.add_argument("--lighter", type=int, nargs="+", default=[0])
    parser.add_argument("--scale", type=int, default=None, help="default: from the budget")
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(**json.loads(given.one))))
        return
    environment = os.environ | {"OMP_NUM_THREADS": str(given.threads)}
    share_cores(environment)
    names = "".join(f" {part}, MB | {part}, s |" for part in PARTS)
    print(f"| classes | side | scale | halved |{names}\n|{' ---: |' * (4 + 2 * len(PARTS))}")
    for classes, side, lighter in product(given.classes, given.sides, given.lighter):
        asked = {"classes": classes, "side": side, "lighter": lighter, "scale": given.scale, "recipe": given.recipe}
        command = [sys.executable, __file__, "--one", json.dumps(asked)]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if ran.returncode:
            print(f"| {classes:,} | {side} | | {lighter} | failed: {ran.stderr.splitlines()[-1]}", flush=True)
            continue
        row = json.loads(ran.stdout)
        cells = "".join(f" {row[part][0] / 1e6:,.0f} | {row[part][1]:.2f} |" for part in PARTS)
        print(f"| {classes:,} | {side} | {row['scale']} | {lighter} |{cells}", flush=True)


def measured(classes: int, side: int, lighter: int, scale: int | None, recipe: str) -> dict[str, Any]:
    """The bytes and the seconds of each part."""
    from memcli.distillation.loop import Distillation
    from memcli.distillation.recipe import load_recipe
    from memcli.distillation.settings import RunSettings
    from memcli.distillation.sizes import fitted
    from memcli.files.memoryfile import stored
    from memcli.memory.spec import MemorySpec
    from memcli.training import choose

    source = made(classes, side)
    chosen = young(fitted(load_recipe(recipe), source.spec))
    rows = chosen.stages[-1].objective.most_rows(classes)
    floats = classes * source.spec.floats_per_image
    spec = MemorySpec.from_budget(source.spec, floats=floats, scale=scale, most_rows=rows)
    parts: dict[str, Any] = {}
    work = part("start", parts, lambda: Distillation(source, spec, chosen, RunSettings(compile=False)))
    for _ in chosen.stages:
        for _ in range(lighter):
            if not work.objective.lighten():  # as a ridge regression, which is of all images together
                break
        part("steps", parts, lambda: work.move(0.0))
        if not work.enter_next():
            part("last step", parts, lambda: work.move(0.0))
    part("look", parts, work.look)
    part("retraining", parts, lambda: choose.pace(stored(work.loop.average.memory), chosen.retrain, work.validation))
    return {"scale": spec.scale, **parts}


def young(recipe: Any) -> Any:
    """The same recipe, whose networks are hardly older than what is differentiated of them, and measured young."""

    def of(objective: Any) -> Any:
        if hasattr(objective, "further"):
            return replace(objective, age=2, further=1)
        if hasattr(objective, "age"):
            return replace(objective, age=1)
        return replace(objective, steps=2 * objective.window) if getattr(objective, "pool", 0) else objective

    stages = tuple(replace(stage, objective=of(stage.objective)) for stage in recipe.stages)
    return replace(recipe, stages=stages, check=replace(recipe.check, steps=min(recipe.check.steps, LOOKED)))


def part(name: str, parts: dict[str, Any], act: Callable[[], Any]) -> Any:
    """What `act` returns. `parts` gets the most bytes that this process held meanwhile, and the processor's seconds."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    began = time.process_time()
    result = act()
    seconds = time.process_time() - began
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    before = parts.get(name, (0, 0.0))
    parts[name] = max(before[0], peak), before[1] + seconds
    return result


def made(classes: int, side: int) -> Any:
    """A source of noise, 8 bits a value: what a step takes does not depend on what is seen."""
    import torch

    from memcli.data.images import LabelledImages
    from memcli.data.sources.base import Source
    from memcli.seeds import generator

    def load(split: str) -> LabelledImages:
        labels = torch.arange(min(PER_CLASS * classes, MOST_IMAGES) if split == "train" else 2 * classes) % classes
        draw = generator(0, split)
        images = torch.randint(0, 256, (len(labels), 3, side, side), generator=draw, dtype=torch.uint8)
        return LabelledImages(images, labels)

    return Source("made", tuple(map(str, range(classes))), (3, side, side), load)


if __name__ == "__main__":
    main()
