"""The figures of a stream, from matrices and networks that are known."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from memcli.continual import Figures, Plan
from memcli.continual.measure import accuracies, baselines
from memcli.continual.tasks import Stream, open_stream
from memcli.data.sources import open_source


def test_ra_la_and_bti() -> None:
    figures = Figures(((0.5, None), (0.25, 0.75)), joint=0.9, random=0.1)
    assert figures.ra == 0.5
    assert figures.la == 0.625
    assert figures.bti == -0.125
    assert Figures.from_json(json.loads(json.dumps(figures.to_json())), 2) == figures


class Fixed(nn.Module):
    """Answers the same scores whatever it sees."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = torch.tensor(scores)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.scores.expand(len(images), -1)


def test_accuracy_is_the_share_of_right_answers(open_small: Callable[[], Stream]) -> None:
    stream = open_small()
    labels = stream.tasks[1].test().labels
    found = accuracies(stream, [Fixed(0, 1, 0), Fixed(3, 0, 0)], 1)
    assert found == [(labels == 1).double().mean().item(), (labels == 0).double().mean().item()]


def test_only_the_tasks_own_classes_are_answers_where_the_task_is_told() -> None:
    stream = open_stream("split:2", open_source("fake:classes=4,shape=1x8x8,n=80,test=40"), 0)
    for number, task in enumerate(stream.tasks):
        best, other = task.classes
        scores = [10.0] * 4
        scores[best], scores[other] = 1.0, 0.0
        assert accuracies(stream, [Fixed(*scores)], number) == [0.5]


def test_baselines_use_the_budget_and_joint_training_is_the_upper_line(
    open_small: Callable[[], Stream], plan: Plan
) -> None:
    joint, random = baselines(open_small(), replace(plan, retrain=replace(plan.retrain, steps=200)), seed=0)
    assert joint > 0.8
    assert 0.2 < random <= joint


def test_baselines_need_streams_that_are_not_finished(open_small: Callable[[], Stream], plan: Plan) -> None:
    stream = open_small()
    stream.tasks[2].finish()
    with pytest.raises(Exception, match="task 2 are gone"):
        baselines(stream, plan, seed=0)
