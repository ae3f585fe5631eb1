"""When a distillation with a time budget begins to learn, on a machine that has compiled its steps before and not.

    python examples/benchmarks/bench_beginning.py --data DATA --keep rows.jsonl
    python examples/benchmarks/bench_beginning.py --data DATA --sources mnist --budgets 3m --turns 3 --memcli OLD NEW

Each row is a run in a process of its own, stopped after `--until` seconds (or at its end): cold with an empty folder of
compiled code, then warm with what the cold one left there. `--memcli` names checkouts to compare, in turns.
Columns: seconds from the start of the process to the data in memory, and from there to the first learned step, with
the seconds of processor time of the latter; steps in the first minute and until the end, processor time until then, and
the load of the machine. Processor time is that of the process and of those that it waited for, g++ among them. Times of
a machine that does other work mean little; compare steps and processor time of rows made in turns.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    "mnist": ("torchvision:MNIST@{data}", {}),
    "imagenette": ("imagefolder:{data}/imagenette", {"image_size": 64}),
}
COLUMNS = (
    "memcli",
    "source",
    "budget",
    "code",
    "data_in_memory",
    "first_step",
    "until_first",
    "in_a_minute",
    "steps",
    "processor",
    "load",
)
FOLLOWED = """
import json, os, sys, time
import memcli.distillation.learn as module
from memcli.errors import Interrupted
from memcli.jobs.distill import distill
from memcli.machine import process_began
from memcli.progress import Callback
from memcli.stopping import Stopped

asked, began = json.loads(sys.argv[1]), process_began()
told = {"in_a_minute": 0, "steps": 0}
learn = module.learn

def now():
    return time.monotonic() - began

def learning(*given, **more):
    told.update(data_in_memory=round(now(), 1), used=processor())
    return learn(*given, **more)

def processor():
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system

class Follower(Callback):
    def on_step(self, step, loss):
        if "first_step" not in told:
            told["first_step"] = round(now() - told["data_in_memory"], 1)
            told["until_first"] = round(processor() - told.pop("used"), 1)
        told["steps"] = step
        if now() <= 60:
            told["in_a_minute"] = step
        if now() >= asked["until"]:
            raise Stopped

module.learn = learning
try:
    how = {"began": began, "time_budget": asked["budget"], "callback": Follower(), **asked["more"]}
    distill(asked["source"], asked["output"], **how)
except Interrupted:
    pass
told["processor"] = round(processor(), 1)
print(json.dumps(told))
"""


def row(checkout: Path, name: str, budget: str, code: Path, given: argparse.Namespace) -> dict[str, Any]:
    """One run, followed."""
    source, more = SOURCES[name]
    with tempfile.TemporaryDirectory() as folder:
        asked = {"source": source.format(data=given.data), "output": f"{folder}/m.safetensors", "budget": budget}
        asked |= {"until": given.until, "more": more | {"recipe": given.recipe}}
        environment = {**os.environ, "PYTHONPATH": str(checkout), "TORCHINDUCTOR_CACHE_DIR": str(code)}
        done = subprocess.run(
            [sys.executable, "-P", "-c", FOLLOWED, json.dumps(asked)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder of MNIST and imagenette")
    parser.add_argument("--sources", nargs="+", choices=list(SOURCES), default=list(SOURCES))
    parser.add_argument("--budgets", nargs="+", default=["3m", "10m"])
    parser.add_argument("--recipe", default="quick")
    parser.add_argument("--until", type=float, default=90, help="seconds after which a run is stopped")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--memcli", nargs="+", type=Path, default=[ROOT], help="checkouts of memcli to compare")
    parser.add_argument("--keep", type=Path, help="a file to which each row is added, as a line of JSON")
    given = parser.parse_args(arguments)
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    for _ in range(given.turns):
        for name in given.sources:
            for budget in given.budgets:
                for checkout in given.memcli:
                    with tempfile.TemporaryDirectory() as code:
                        for state in ("cold", "warm"):
                            load = round(os.getloadavg()[0], 1)
                            told = {"memcli": checkout.name, "source": name, "budget": budget, "code": state}
                            told |= row(checkout.resolve(), name, budget, Path(code), given) | {"load": load}
                            print(
                                "| " + " | ".join(str(told.get(column, "-")) for column in COLUMNS) + " |", flush=True
                            )
                            if given.keep:
                                with given.keep.open("a", encoding="utf-8") as file:
                                    file.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
