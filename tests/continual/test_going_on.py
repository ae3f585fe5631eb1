"""A stream goes on inside a task, from where it was killed or stopped, to the same bytes, and leaves nothing."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import edits
import killing_streams
import pytest
import torch
from killing_streams import NETWORK, learn, small_plan, stream

from memcli.continual.learn import _Refining
from memcli.continual.pilot import _Flight, mixture
from memcli.data.images import LabelledImages
from memcli.data.real import RealImages
from memcli.distillation.outer import OuterLoop
from memcli.errors import Interrupted, MemoryFileError
from memcli.files.unfinished import SUFFIX
from memcli.memory.spec import MemorySpec
from memcli.memory.start import from_data
from memcli.networks import build
from memcli.objectives.joint import JointObjective
from memcli.progress import Silent
from memcli.stopping import stoppable
from memcli.training import keeping


def test_a_stream_killed_at_any_rename_ends_in_the_same_files(tmp_path: Path) -> None:
    command = [sys.executable, killing_streams.__file__, "9"]  # of 68 moments; 1 is for all
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert not done.returncode, done.stderr
    *ends, whole = json.loads((tmp_path / "ends.json").read_text())
    assert whole["code"] == 0, whole["printed"]
    assert not any(name.endswith(SUFFIX) for name in whole["files"])
    assert len(ends) > 6, f"each look, each step and each file is kept by a rename: {whole['printed']}"
    for end in ends:
        assert end["killed"]
        assert (end["code"], end["files"]) == (0, whole["files"]), end["printed"]


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize(("name", "of"), [("look", _Flight), ("move", OuterLoop), ("step", torch.optim.SGD)])
def test_after_a_signal_inside_a_task_no_step_is_taken_again(
    name: str, of: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, stop_at, original = 0, 0, getattr(of, name)

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == stop_at:
            signal.raise_signal(signal.SIGTERM)
        return original(*args, **more)

    monkeypatch.setattr(of, name, counted)
    monkeypatch.setattr(keeping, "EVERY", 0.0)
    learn(tmp_path / "whole")
    in_all, taken, stop_at = taken, 0, 3
    with stoppable(Silent()), pytest.raises(Interrupted, match=r"stopped in task \d\. Give the same command"):
        learn(tmp_path / "parted")
    assert any(file.endswith(SUFFIX) for file in sums(tmp_path / "parted"))
    assert taken == 3
    learn(tmp_path / "parted")
    assert taken == in_all
    assert sums(tmp_path / "parted") == sums(tmp_path / "whole")


def test_each_edit_of_what_is_kept_inside_a_task_is_refused() -> None:
    opened, plan = stream(), small_plan()
    images = opened.tasks[0].train()
    pixels, labels = images.normalised(opened.data), torch.eye(4)[images.labels]
    flight = _Flight(plan, opened.data, pixels, labels, seed=0)
    flight.look(0, lambda first: mixture(plan, pixels, labels, None, 0, 2, 0, first))
    spec = MemorySpec(opened.task_data(0), bases=2, scale=1, rows=1)
    own = LabelledImages(images.images, torch.searchsorted(torch.tensor(opened.tasks[0].classes), images.labels))
    network = build(NETWORK, opened.data, seed=0)
    objective = JointObjective(
        plan.refine, spec, network, flight.weights, torch.tensor(opened.tasks[0].classes), 4, others=None
    )
    loop = OuterLoop(from_data(spec, own, 0), plan.refine_lr, plan.outer)
    refining = _Refining(loop, objective, plan.outer)
    real = RealImages(own, spec.data, torch.device("cpu"))
    loop.move(objective.step(loop.here.memory, plan.refine_lr, real, 0, 0), 0.0)
    refining.done = 1
    for work in (flight, refining):
        good = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in work.tensors().items()}
        work.restore(good)
        taken = []
        for what, edited in edits.of_tensors(good):
            try:
                work.restore(edited)
            except MemoryFileError:
                continue
            taken.append(what)
        assert taken == []
        assert all(torch.equal(tensor, good[name]) for name, tensor in work.tensors().items()), "nothing is changed"
