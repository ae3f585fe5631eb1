"""Which real images a memory starts from."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from memcli.data.images import LabelledImages
from memcli.data.sources import open_source
from memcli.data.sources.base import holdout
from memcli.distillation import easy
from memcli.distillation.easy import Judge
from memcli.distillation.estimate import estimate
from memcli.distillation.learn import learn
from memcli.distillation.loop import Distillation
from memcli.distillation.settings import RunSettings
from memcli.distillation.tune import tune
from memcli.errors import DivergedError, Interrupted
from memcli.files import runfolder
from memcli.memory.spec import MemorySpec
from memcli.memory.start import from_data
from memcli.networks.cost import cost
from memcli.progress import Callback
from memcli.stopping import Stopped

CPU = torch.device("cpu")
SOURCE = open_source("fake:n=120,test=30,classes=3,shape=1x16x16")
SPEC = MemorySpec(SOURCE.spec, bases=4, scale=2, rows=3)
IMAGES = SOURCE.split("train")
JUDGE = Judge(IMAGES, SOURCE.spec, CPU, seed=0)
RECIPE = replace(tiny.recipe(2), start="easy")


def numbers(some: LabelledImages, of: LabelledImages) -> list[int]:
    """The numbers of `some` images among all, which differ."""
    return [int((of.images == each).flatten(1).all(1).nonzero()) for each in some.images]


def test_mislabelled_images_are_left_out() -> None:
    wrong = torch.arange(len(IMAGES)) % 4 == 0  # a quarter of each class: less than what is left out
    labels = torch.where(wrong, (IMAGES.labels + 1) % 3, IMAGES.labels)
    mixed = LabelledImages(IMAGES.images, labels)
    kept = numbers(Judge(mixed, SOURCE.spec, CPU, seed=0).easier(3), mixed)
    assert wrong[kept].float().mean() < 0.1
    assert labels[kept].bincount().tolist() == [-(-int(count) // 4) for count in labels.bincount()]


def test_a_class_keeps_as_many_images_as_there_are_rows() -> None:
    counts = IMAGES.labels.bincount().tolist()
    assert JUDGE.easier(30).labels.bincount().tolist() == [min(30, count) for count in counts]
    assert JUDGE.easier(10_000).labels.bincount().tolist() == counts


def test_easy_images_are_a_function_of_the_seed() -> None:
    first, again, other = (Judge(IMAGES, SOURCE.spec, CPU, seed).easier(3) for seed in (0, 0, 1))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_with_no_time_or_no_numbers_all_images_are_easy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert JUDGE.easier(3, seconds=0.0) is IMAGES

    def diverging(*_: object, **_more: object) -> None:
        raise DivergedError("numbers that are not finite", do="Train at a lower rate")

    monkeypatch.setattr(easy, "train", diverging)
    assert JUDGE.easier(3) is IMAGES
    assert JUDGE.easier(3, seconds=1e9) is IMAGES, "also where its pace is measured first"


def test_with_little_time_the_judge_is_trained_for_less(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    train = easy.train

    def watched(network: torch.nn.Module, recipe: easy.TrainRecipe, *given: object, **more: object) -> None:
        trained.append(recipe.steps)
        train(network, recipe, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(easy, "train", watched)
    monkeypatch.setattr(Judge, "seconds", lambda _: 100.0)
    for seconds in (50.0, 200.0, None):
        JUDGE.easier(3, seconds)
    assert trained == [9, 18, 18]  # of 750 images of each of three classes, 128 a step


def test_a_run_starts_from_them() -> None:
    training, _ = holdout(IMAGES, 3, 0, RECIPE.holdout)
    work = Distillation(SOURCE, SPEC, RECIPE, RunSettings(compile=False))
    expected = from_data(SPEC, Judge(training, SOURCE.spec, CPU, 0).easier(3), 0)
    assert torch.equal(work.loop.average.memory.addresses, expected.addresses)
    assert learn(SOURCE, SPEC, RECIPE, RunSettings(compile=False)).artifact.manifest.recipe["start"] == "easy"


@pytest.mark.parametrize("size", [{"scale": 1, "cells": 7}, {"bases": 5, "support": 2}], ids=["cells", "support"])
def test_a_run_that_goes_on_judges_no_images_again_and_ends_as_one_that_was_not_stopped(
    size: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopping(Callback):
        def on_step(self, step: int, loss: float) -> None:
            del loss
            if step == 2:
                raise Stopped

    spec, recipe, how = replace(SPEC, **size), replace(tiny.recipe(4), start="easy"), RunSettings(compile=False)
    whole = learn(SOURCE, spec, recipe, how).artifact
    with runfolder.opened(tmp_path / "f", {}) as run, pytest.raises(Interrupted):
        learn(SOURCE, spec, recipe, how, run=run, callback=Stopping())
    monkeypatch.setattr(Judge, "easier", None)
    with runfolder.opened(tmp_path / "f", {}) as run:
        again = learn(SOURCE, spec, recipe, how, run=run).artifact
    assert again.manifest == whole.manifest
    for name, tensor in whole.memory.tensors.items():
        assert torch.equal(again.memory.tensors[name], tensor), name


def test_an_estimate_counts_judging_and_trials_do_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judge, "easier", None)
    monkeypatch.setattr(Judge, "seconds", lambda _: 1000.0)
    assert estimate(SOURCE, SPEC, RECIPE, RunSettings(steps=2, compile=False)).parts["starting"] > 1000
    budgeted = estimate(SOURCE, SPEC, RECIPE, RunSettings(time_budget=500.0, compile=False))
    assert 50 < budgeted.parts["starting"] < 60
    assert tune(SOURCE, [SPEC, replace(SPEC, bases=3)], RECIPE, RunSettings(steps=4, compile=False))


def test_large_images_are_judged_averaged_down() -> None:
    """Of 128 images at their full size, 224 pixels a side, all outputs of the layers take 3.3 GB."""
    networks = {side: replace(JUDGE, data=replace(SOURCE.spec, height=side, width=side)) for side in (16, 64, 128, 224)}
    assert [networks[side].network for side in (16, 64)] == ["convnet:width=32"] * 2
    for side in (128, 224):
        of_image = cost(networks[side].network, networks[side].data)
        assert of_image is not None
        assert of_image.outputs < 5e6
