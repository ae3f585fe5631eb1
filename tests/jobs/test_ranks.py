"""What several processes share out, with the same results as one; and what they refuse."""

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from together import together

from memcli import ranks
from memcli.continual import Figures, opened, plan_for, run_stream
from memcli.continual.run import settings, shared_out, size
from memcli.continual.tasks import open_stream
from memcli.data.sources import open_source
from memcli.distillation.settings import RunSettings
from memcli.distillation.tune import candidates, tune
from memcli.errors import ExistsError, UsageError
from memcli.files import memoryfile
from memcli.jobs import plan
from memcli.jobs.distill import distill
from memcli.jobs.evaluate import measure, to_json
from memcli.memory.spec import MemorySpec
from memcli.progress import Notes
from memcli.ranks import Ranks
from memcli.training.recipe import TrainRecipe

FAKE = "fake:classes=3,shape=1x8x8,n=60,test=30"
TOO_HIGH = TrainRecipe("mlp:width=8,depth=5", steps=10, batch=6, lr=1000.0, momentum=0.9)  # some runs need less


def evaluated(folder: Path) -> Any:
    """An evaluation in which trainings diverge: its figures, what is told, and how often it is followed."""
    memory = memoryfile.read(tiny.write_memory(folder / "memory.safetensors"))
    notes, followed = Notes(), []
    how = {"recipe": TOO_HIGH, "runs": 6, "baselines": frozenset({"random"}), "progress": notes}
    report = measure(memory, open_source(FAKE), **how, follow=followed.append)
    rates = [trial.lr for trial in report.trials]
    return {"figures": str(to_json(report)), "rates": rates, "notes": notes.notes, "followed": len(followed)}


def tuned(folder: Path) -> Any:
    """A memory whose size is chosen, learned in two replicas: its checksum, and the trials."""
    small: dict[str, Any] = {"ipc": 0.2, "recipe": tiny.recipe(4), "steps": 4}
    made = distill(FAKE, folder / "m.safetensors", tune=True, replicas=2, **small)
    trials = [[*trial.spec.shapes["bases"], trial.steps, trial.accuracy] for trial in made.trials]
    return {"sha256": made.sha256, "trials": trials}


def learned(folder: Path, number: int) -> tuple[Figures, dict[str, int]]:
    """A stream of two tasks."""
    make = partial(open_stream, "permutations:tasks=2,images=20,memory=10", open_source(FAKE), number)
    how = plan_for("permutations", make().network)
    how = replace(how, retrain=replace(how.retrain, steps=4), pilot_steps=20)
    told = settings("permutations", make(), how, number)
    with opened(folder / str(number), told, resume=False, force=False) as inside:
        return run_stream(make, how, inside, seed=number), size(inside)


def everything() -> dict[str, Any]:
    """All that processes share out, as far as it is equal in each of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        streams = shared_out(3, partial(learned, folder), ranks.joined())
        streams = [[str(figures), str(numbers)] for figures, numbers in streams]
        return {"evaluated": evaluated(folder), "tuned": tuned(folder), "streams": streams}


def by_each(_rank: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    return everything() | {"timed": timed()}


def timed() -> list[int]:
    """The candidates that are tried in a part of a second, by their bases."""
    source = open_source(FAKE)
    specs = candidates(source.spec, partial(MemorySpec.from_budget, source.spec, floats=192))
    how = RunSettings(time_budget=0.3, ranks=ranks.joined())
    return [trial.spec.bases for trial in tune(source, specs, tiny.recipe(8), how)]


def test_networks_trials_and_streams_are_shared_out_with_the_results_of_one_process() -> None:
    first, second = together(2, by_each)
    one = everything()
    assert len(set(one["evaluated"]["rates"])) > 2, "some are made again at a lower rate"
    notes = second["evaluated"].pop("notes"), second["evaluated"].pop("followed")
    assert notes == ([], 0), "the first one speaks"
    assert sorted(first["timed"]) == sorted(second["timed"])
    assert first == {**one, "timed": first["timed"]}
    del one["evaluated"]["notes"], one["evaluated"]["followed"]
    assert second == {**one, "timed": second["timed"]}


def test_fewer_streams_than_processes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"`runs` is 1 for 2 processes\. Give one or more for each process, or fewer"):
        shared_out(1, partial(learned, Path()), Second())


class Second(Ranks):
    """Rank 1 of two, whose first one says that it has nothing to do."""

    rank, size = 1, 2

    def said(self, text: str) -> str:
        assert text == ""
        return "read"


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "joined", Second)


@pytest.mark.usefixtures("second")
def test_fewer_replicas_than_processes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`replicas` is 1 for 2 processes\. Give one or more for each process\."):
        distill(FAKE, tmp_path / "m.safetensors", replicas=1)


@pytest.mark.usefixtures("second")
def test_a_finished_run_whose_output_is_on_another_machine_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExistsError, match=r"finished on the first rank's machine\. Read its output there\."):
        distill(FAKE, tmp_path / "m.safetensors")
