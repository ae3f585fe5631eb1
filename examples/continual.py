"""Learn tasks one at a time, keep a memory of each, and measure what a network trained on them remembers.

    python examples/continual.py out/ --data torchvision:MNIST@data

`memcli continual permutations` does the same; here the plan can be changed.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import memcli
from memcli.continual import opened, plan_for, run_stream
from memcli.continual.run import settings
from memcli.continual.tasks import Stream, open_stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="a folder for the memories, the networks and the figures")
    parser.add_argument("--data", required=True, help="a source, such as torchvision:MNIST@data")
    parser.add_argument("--stream", default="permutations:tasks=5")
    parser.add_argument("--steps", type=int, default=2000, help="of training, once all tasks are there")
    given = parser.parse_args()
    source = memcli.open_source(given.data)

    def stream() -> Stream:
        return open_stream(given.stream, source, seed=0)

    plan = plan_for(stream().benchmark, stream().network)
    plan = replace(plan, retrain=replace(plan.retrain, steps=given.steps))
    with opened(given.output, settings(given.stream, stream(), plan, 0), resume=False, force=False) as folder:
        figures = run_stream(stream, plan, folder, seed=0)
    print(f"after all tasks: {100 * figures.ra:.1f} %; trained on all real images: {100 * figures.joint:.1f} %")


if __name__ == "__main__":
    main()
