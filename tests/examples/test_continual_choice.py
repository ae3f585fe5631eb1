"""The script that plans are chosen by: it sees training images alone, and changes what it is told to."""

import json
from dataclasses import replace

import continual_choice
import pytest
import torch

from memcli.continual import plan_for
from memcli.data.sources import open_source


def test_what_is_measured_on_are_training_images_that_no_task_uses() -> None:
    source = open_source("fake:classes=3,n=90,shape=1x8x8")
    held = continual_choice.held_out(source, 20)
    train, test = (held.split(name).images.flatten(1) for name in ("train", "test"))
    every = source.split("train").images.flatten(1)
    assert len(test) == 20
    assert torch.equal(torch.cat([train, test]).unique(dim=0), every.unique(dim=0))
    assert len(train) + len(test) == len(every)


def test_settings_are_changed_by_name() -> None:
    plan = plan_for("many", "mlp:width=8,depth=2")
    found = continual_choice.changed(plan, ["pilots=3", "retrain.noise=0.25"])
    assert found == replace(plan, pilots=3, retrain=replace(plan.retrain, noise=0.25))


def test_a_run_prints_its_figures(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continual_choice, "HELD", 30)
    few = ["--set", "pilot_steps=4", "looks=2", "retrain.steps=5"]
    stream = "permutations:tasks=2,images=40,memory=10"
    continual_choice.main([stream, "--data", "fake:classes=3,n=180,shape=1x8x8", *few, "--joint"])
    found = json.loads(capsys.readouterr().out)
    assert found["seed"] == 100
    assert all(0 <= found[name] <= 1 for name in ("ra", "joint", "random"))
