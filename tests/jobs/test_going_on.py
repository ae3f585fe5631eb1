"""`retrain` and `eval` go on where they were killed or stopped, to the same bytes and figures, and leave nothing."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import edits
import killing
import pytest
import tiny
import torch
from torch import nn

from memcli.data.sources import open_source
from memcli.errors import DivergedError, Interrupted
from memcli.files import checkpoints
from memcli.files.unfinished import SUFFIX
from memcli.jobs.evaluate import evaluate
from memcli.jobs.figures import Mistake, Report, Trial
from memcli.jobs.kept import KeptTrials
from memcli.jobs.retrain import retrain
from memcli.progress import Silent
from memcli.training import keeping
from memcli.training.loop import train
from memcli.training.recipe import TrainRecipe

STEPS = 2
NORMS = "convnet:width=4,depth=1,norm=batch"
FAKE = "fake:classes=3,shape=1x8x8,n=30,test=15"
EVAL: dict[str, Any] = {"runs": 2, "baselines": "random", "device": "cpu"}
RETRAIN: dict[str, Any] = {"network": NORMS, "steps": STEPS, "device": "cpu"}


class Notes(Silent):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, message: str) -> None:
        self.told.append(message)


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tiny.write_memory(tmp_path / "m")


def killed(folder: Path, *words: object) -> list[dict[str, Any]]:
    """What `killing` tells of a command."""
    command = [sys.executable, killing.__file__, *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert not done.returncode, done.stderr
    ends: list[dict[str, Any]] = json.loads((folder / "ends.json").read_text())
    return ends


def test_retrain_killed_at_any_rename_ends_in_the_same_weights(memory: Path, tmp_path: Path) -> None:
    *ends, whole = killed(tmp_path, "retrain", memory, "-o", "n", "--steps", STEPS, "--network", NORMS)
    assert len(ends) == 2 * (STEPS + 2)  # each step and the last one are kept, then the weights are written
    assert (whole["code"], list(whole["files"])) == (0, ["n"])
    for number, end in enumerate(ends):
        assert end["killed"]
        last = number == len(ends) - 1  # the weights are there, and what was kept of them too
        assert (end["code"], end["files"]["n"]) == (8 if last else 0, whole["files"]["n"]), end["printed"]
        assert end["files"].keys() == ({"n", f"n{SUFFIX}"} if last else {"n"})


def test_eval_killed_at_any_rename_ends_in_the_same_figures(memory: Path, tmp_path: Path) -> None:
    words = ("eval", memory, "--data", FAKE, "--runs", 2, "--baselines", "random", "--json")
    *ends, whole = killed(tmp_path, *words)
    assert len(ends) == 2 * 4  # four networks are measured

    def figures(end: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(end["printed"].splitlines()[-1])
        return {name: value for name, value in told.items() if name not in ("seconds", "warnings")}

    assert all(end["killed"] and not end["code"] and figures(end) == figures(whole) for end in ends)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("m.", ".m"))] == []


@pytest.fixture
def stopped(memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is kept of a training that a signal ended in its first step."""
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", _signalling(torch.optim.SGD.step))
        with pytest.raises(
            Interrupted, match=r"after 1 of 2 steps, .* kept in .*n\.unfinished\. Give the same command"
        ):
            retrain(memory, tmp_path / "n", **RETRAIN)
    return tmp_path / f"n{SUFFIX}"


def _signalling(step: Any) -> Any:
    def signalled(*args: Any, **more: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return step(*args, **more)

    return signalled


def test_a_step_that_is_stopped_is_ended_kept_and_not_taken_again(
    stopped: Path, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    monkeypatch.setattr(torch.optim.SGD, "step", lambda *_, s=torch.optim.SGD.step: (taken.append(1), s(*_))[1])
    there = retrain(memory, tmp_path / "n", **RETRAIN)
    assert (len(taken), stopped.exists()) == (1, False)
    assert there.sha256 == retrain(memory, tmp_path / "other", **RETRAIN).sha256


def test_what_was_kept_by_other_settings_is_left_out_with_a_note(stopped: Path, memory: Path, tmp_path: Path) -> None:
    notes = Notes()
    made = retrain(memory, tmp_path / "n", **{**RETRAIN, "seed": 1}, progress=notes)
    assert notes.told == [f"{stopped} is of other settings, and is not gone on with: seed 0, not 1"]
    assert made.sha256 == retrain(memory, tmp_path / "other", **{**RETRAIN, "seed": 1}).sha256
    assert not stopped.exists()


def test_each_edit_of_what_was_kept_is_left_out_with_a_note(stopped: Path, memory: Path, tmp_path: Path) -> None:
    good = checkpoints.read(stopped)
    whole = retrain(memory, tmp_path / "other", **RETRAIN).sha256
    generator, weight = good.tensors["generator"], "network.features.0.weight"
    bad = [good._replace(tensors={**good.tensors, "generator": torch.full_like(generator, 255)})]
    others = {name: tensor for name, tensor in good.tensors.items() if name != weight}
    for _, edited in edits.of_tensors({weight: good.tensors[weight]}):
        bad.append(good._replace(tensors={**others, **edited}))
    bad += [good._replace(counters=counters) for _, value, counters in edits.of_json(good.counters, (None, -1, []))]
    bad += [good._replace(step=step) for step in (-1, STEPS + 1)]
    for edited in bad:
        (tmp_path / "n").unlink(missing_ok=True)
        checkpoints.write(stopped, *edited)
        notes = Notes()
        assert retrain(memory, tmp_path / "n", **RETRAIN, progress=notes).sha256 == whole
        assert len(notes.told) == 1
        assert "is not gone on with" in notes.told[0]


def test_a_file_that_is_not_ours_is_never_replaced(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "EVERY", 0.0)
    strange, notes = tmp_path / f"n{SUFFIX}", Notes()
    strange.write_text("a letter")
    retrain(memory, tmp_path / "n", **RETRAIN, progress=notes)
    assert strange.read_text() == "a letter"
    assert notes.told[-1] == f"what is done cannot be kept: {strange} is no file of memcli"


def test_of_a_training_that_diverged_nothing_is_kept(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "EVERY", 0.0)
    with pytest.raises(DivergedError):
        retrain(memory, tmp_path / "n", network="mlp", steps=60, lr=900.0, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_layers_that_draw_at_random_draw_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As dropout does: the state of the generator is kept."""
    monkeypatch.setattr(keeping, "EVERY", 0.0)

    class Store:
        def __init__(self, kept: dict[int, dict[str, torch.Tensor]], at: int) -> None:
            self.kept, self.at = kept, at

        def load(self, _most: int, _like: Any, restore: Any) -> int:
            if self.at:
                restore(self.kept[self.at])
            return self.at

        def save(self, step: int, tensors: dict[str, torch.Tensor]) -> None:
            self.kept[step] = {name: tensor.clone() for name, tensor in tensors.items()}

        def remove(self) -> None: ...

    def trained(store: Store) -> torch.Tensor:
        layer = nn.Linear(64, 3)
        nn.init.constant_(layer.weight, 0.1), nn.init.zeros_(layer.bias)
        network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), layer)
        images, labels = torch.ones(2, 1, 8, 8), torch.eye(3)[:2]
        train(network, TrainRecipe("mlp", steps=4), lambda _: (images, labels), store=store)
        return layer.weight.detach()

    with torch.random.fork_rng():
        kept: dict[int, dict[str, torch.Tensor]] = {}
        whole = trained(Store(kept, 0))
        assert all(torch.equal(trained(Store(kept, at)), whole) for at in (1, 2, 3, 4))


def _stopped_eval(memory: Path, after: int) -> Report:
    """The report of an evaluation that a signal ended after so many networks."""
    so_far = []

    def follow(report: Report) -> None:
        so_far.append(report)
        if len(report.trials) == after:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=r"after 3 of 4 trainings, kept in .*m\.eval-[0-9a-f]{8}\.unfinished\."):
        evaluate(memory, FAKE, **EVAL, follow=follow, keep=memory)
    return so_far[-1]


def test_an_evaluation_measures_the_rest_and_tells_of_all(memory: Path, tmp_path: Path) -> None:
    before, notes = _stopped_eval(memory, 3), Notes()
    (kept,) = tmp_path.glob(f"m.eval-*{SUFFIX}")
    other = evaluate(memory, FAKE, **{**EVAL, "seed": 1}, keep=memory)  # of other settings: neither takes the other's
    assert kept.exists()
    assert other.trials[0] != before.trials[0]
    report = evaluate(memory, FAKE, **EVAL, keep=memory, progress=notes)
    assert report.trials[:3] == before.trials
    assert sum("measured before the stop" in told for told in notes.told) == 3
    whole = evaluate(memory, FAKE, **EVAL)
    assert [trial.accuracy for trial in report.trials] == [trial.accuracy for trial in whole.trials]
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_each_edit_of_kept_trials_is_left_out_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "EVERY", 0.0)
    trial, source = Trial("mlp", "memory", 0.5, 3, 1.0, 0.05, (Mistake(0, 1, 2),)), open_source(FAKE)

    def loaded() -> tuple[tuple[Trial, ...], KeptTrials, list[str]]:
        notes = Notes()
        trials = KeptTrials(tmp_path / "m", [("own", "memory", "mlp")], (5, 5, 5), notes.note)
        return trials.load({}, source), trials, notes.told

    loaded()[1].add(trial)
    assert loaded()[0] == (trial,)
    (path,) = tmp_path.iterdir()
    good, bad = checkpoints.read(path), 0
    for key, value, edited in edits.of_json({"trials": [asdict(trial)]}, (None, "x", -1, [None])):
        if (key, value) in (("trials.0.mistakes.0", ...), ("trials.0.protocol", ...)):
            continue  # a network may make no mistake, and a protocol that is missing is the first one
        raw = torch.frombuffer(bytearray(json.dumps(edited).encode()), dtype=torch.uint8)
        checkpoints.write(path, 1, {"trials": raw}, good.counters)
        trials, _, told = loaded()
        assert (trials, ["is not gone on with" in note for note in told]) == ((), [True]), (key, value)
        bad += 1
    assert bad > 40
