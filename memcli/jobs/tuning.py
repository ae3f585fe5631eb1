"""The trials of `--tune`, as a run folder keeps them."""

import json
from typing import Any

from memcli.data.spec import DataSpec
from memcli.distillation.tune import Place, Tried, candidates, tune
from memcli.errors import MemoryFileError
from memcli.files import runfolder
from memcli.files.manifest import memory_spec
from memcli.files.runfolder import RunFolder
from memcli.jobs.plan import Plan
from memcli.text import printable


def tuned(plan: Plan, run: RunFolder | None, *, over: bool = False) -> tuple[Tried, ...]:
    """The trials that choose the size, the best first; what the run folder, the first rank's, holds is not made again.

    `over`: it holds all of them, as it does where the memory that they chose is being learned. Raises MemoryFileError
    where it is damaged.
    """
    told, data = [] if run is None else run.trials(), plan.source.spec
    over = over or (run is not None and run.learns)
    try:
        _known(told, data)
    except MemoryFileError as error:
        shown = "" if run is None else printable(str(run.path / runfolder.TRIALS))
        raise MemoryFileError(f"{shown} is damaged ({error.what})", do="Start afresh with `force`") from error
    told, over = json.loads(plan.run.ranks.said(json.dumps([told, over])))

    def record(place: Place, trial: Tried) -> None:
        figures = {"steps": trial.steps, "accuracy": trial.accuracy}
        told.append({"round": place[0], "memory": trial.spec.to_json(), **figures})
        if run is not None:
            run.tried(told)

    trials = tune(
        plan.source,
        candidates(data, plan.size.fitted(data), plan.spec.cells),
        plan.recipe,
        plan.tuning,
        progress=plan.progress,
        known=_known(told, data),
        over=over,
        record=record,
    )
    for one in reversed(trials):
        shape = f"{one.spec.bases} bases {one.spec.layout}, {one.spec.rows} rows"
        plan.progress.note(f"{shape}: {100 * one.accuracy:.2f} % of validation after {one.steps} steps")
    return trials


def _known(told: list[dict[str, Any]], data: DataSpec) -> dict[Place, Tried]:
    """The trials that a run folder holds. MemoryFileError where one is of no memory."""
    known = {}
    for trial in told:
        size = memory_spec(trial["memory"], data)
        known[trial["round"], size] = Tried(size, trial["steps"], trial["accuracy"])
    return known
