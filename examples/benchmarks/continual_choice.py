"""How a plan of continual learning does on training images that no task uses: to choose plans by, without test images.

    python examples/benchmarks/continual_choice.py many --data torchvision:MNIST@data --set pilots=2 retrain.noise=0.8

The stream is made of the source's training images but for the last 2,000 of an order drawn at random, on which the last
network is measured. Streams have seeds of their own, 100 and above; the reported ones begin at 0. One line of JSON for
each run.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from memcli import seeds
from memcli.continual import Plan, plan_for
from memcli.continual.learn import learn_task, retrain_all
from memcli.continual.measure import accuracies, baselines
from memcli.continual.tasks import Stream, open_stream
from memcli.data.sources import Source, open_source

HELD = 2000  # training images to measure on


def held_out(source: Source, held: int) -> Source:
    """The same classes with the training images alone: most as training images, `held` of them as test images."""

    @cache
    def order() -> torch.Tensor:
        return torch.randperm(len(source.split("train")), generator=seeds.generator(0, "held out"))

    def load(split: str) -> Any:
        return source.split("train").subset(order()[:-held] if split == "train" else order()[-held:])

    return Source(source.name, source.classes, source.shape, load)


def changed(plan: Plan, settings: list[str]) -> Plan:
    """The plan with `name=value` changed, each a number; `retrain.name=value` is a setting of the training."""
    for setting in settings:
        name, value = setting.split("=")
        if name.startswith("retrain."):
            plan = replace(plan, retrain=replace(plan.retrain, **{name[len("retrain.") :]: json.loads(value)}))
        else:
            plan = replace(plan, **{name: json.loads(value)})
    return plan


def run(open_it: Callable[[], Stream], plan: Plan, seed: int, joint: bool) -> dict[str, float]:
    """Learn every task, train one network on all memories, and measure it; with `joint`, both baselines too."""
    began, stream = time.monotonic(), open_it()
    artifacts: dict[str, Any] = {}
    for number in range(len(stream.tasks)):
        artifacts[str(number)] = learn_task(stream, number, artifacts, plan, seed=seed)
    network = retrain_all(stream, artifacts, plan, seed=seeds.derive(seed, "network", len(artifacts) - 1)).network
    reached = [accuracies(stream, [network], number)[0] for number in range(len(stream.tasks))]
    found = {"ra": sum(reached) / len(reached), "seconds": time.monotonic() - began}
    if joint:
        found["joint"], found["random"] = baselines(open_it(), plan, seed=seeds.derive(seed, "baselines"))
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark")
    parser.add_argument("--data", required=True)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--storage", default="float32")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the plan to change")
    parser.add_argument("--joint", action="store_true", help="measure joint training and raw images too")
    given = parser.parse_args(arguments)
    source = held_out(open_source(given.data), HELD)
    for seed in range(given.seed, given.seed + given.runs):
        stream = open_stream(given.benchmark, source, seed)
        plan = plan_for(stream.benchmark, stream.network, given.storage, photographs=stream.data.channels == 3)
        plan = changed(plan, given.set)
        found = run(lambda seed=seed: open_stream(given.benchmark, source, seed), plan, seed, given.joint)  # type: ignore[misc]
        told = {"benchmark": given.benchmark, "seed": seed, "storage": given.storage, "set": given.set, **found}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
