"""A stream that is learned in the current folder and killed at each rename, as `killing` does it with a command."""

import sys
from dataclasses import replace
from pathlib import Path

import killing

from memcli.continual import Plan, opened, plan_for, run_stream
from memcli.continual.run import settings
from memcli.continual.tasks import Stream, open_stream
from memcli.data.sources import open_source
from memcli.engine import ReverseOverReverse
from memcli.objectives import joint
from memcli.progress import Progress, Silent

joint.Traced = ReverseOverReverse  # type: ignore[misc,assignment]  # recording takes longer than the few steps here
SOURCE = open_source("fake:classes=4,shape=3x8x8,n=24,test=8")
NETWORK = "strided:channels=2,hidden=4"


def stream() -> Stream:
    return open_stream("split:2", SOURCE, 0)


def small_plan() -> Plan:
    """Two looks of a pilot and two steps of refining a task; networks are trained for two steps."""
    plan = plan_for("split", NETWORK)
    training = replace(plan.retrain, network=NETWORK, steps=2, batch=4)
    return replace(plan, retrain=training, pilot_steps=2, looks=2, refine_steps=2)


def learn(path: Path, progress: Progress | None = None) -> None:
    plan = small_plan()
    with opened(path, settings("split:2", stream(), plan, 0), resume=False, force=False) as folder:
        run_stream(stream, plan, folder, seed=0, progress=progress)


class Printing(Silent):
    def note(self, message: str) -> None:
        sys.stdout.write(f"{message}\n")


if __name__ == "__main__":
    killing.main(lambda: learn(Path(), Printing()), int(sys.argv[1]))
