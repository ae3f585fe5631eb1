"""Distil a folder of images, one folder per class, into a memory file, and say how good it is.

python examples/distil_folder.py photos photos.safetensors --time-budget 5m
"""

import argparse

import memcli


class Printed(memcli.Callback):
    """Prints each look at the memory."""

    def on_look(self, step: int, validation: float, best: float) -> None:
        print(f"step {step}: {100 * validation:.1f} % of the validation images, at best {100 * best:.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("output")
    parser.add_argument("--ipc", type=float, default=1, help="the size of the memory: that of so many images per class")
    parser.add_argument("--time-budget", default="5m")
    parser.add_argument("--recipe", help="default: quick, or best where the time budget is long")
    given = parser.parse_args()
    source = memcli.open_source(given.folder)
    print(f"{len(source.classes)} classes of {len(source.split('train'))} images, each {source.shape}")
    settings = {"ipc": given.ipc, "time_budget": given.time_budget, "recipe": given.recipe}
    made = memcli.distill(source, given.output, callback=Printed(), **settings)
    found = memcli.evaluate(made.artifact, source, runs=1, baselines=["random"])
    for trial in found.trials:
        print(f"trained on {trial.trained_on}: {100 * trial.accuracy:.1f} % of the test images")


if __name__ == "__main__":
    main()
