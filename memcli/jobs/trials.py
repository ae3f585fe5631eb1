"""One network trained on a memory, or on a baseline, and measured on the test split. Nothing else measures on it."""

import time
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from memcli.data.images import LabelledImages
from memcli.data.sources.base import Source
from memcli.data.spec import DataSpec
from memcli.errors import DivergedError
from memcli.jobs.baselines import BASELINES
from memcli.jobs.baselines.base import Comparison
from memcli.jobs.figures import Mistake, Trial
from memcli.jobs.protocols import PROTOCOLS
from memcli.memory.memory import Memory
from memcli.networks import build
from memcli.progress import Progress
from memcli.training.choose import pace
from memcli.training.loop import Batch, predictions, recalled_batches, train
from memcli.training.recipe import TrainRecipe

_HALVINGS = 6  # of the rate, for a network that diverges
_LONG = 1000  # steps: what so long a training takes is told before it begins
_STILL = 1e-9  # a rate at which nothing diverges


@dataclass(frozen=True)
class Asked:
    """One kind of training: `network` by `recipe`, which `protocol` made, on the memory or a baseline."""

    protocol: str
    trained_on: str  # "memory" or the baseline's name
    network: str  # as it was asked for
    recipe: TrainRecipe

    def __str__(self) -> str:
        return f"{self.network}, {self.trained_on}" + (f", {self.protocol}" if self.protocol != "own" else "")


@dataclass(frozen=True, eq=False)
class Trainings:
    """What all trainings of an evaluation share."""

    memory: Memory  # on the device
    source: Source  # aligned to the memory
    device: torch.device
    progress: Progress
    full_epochs: int
    rates: dict[tuple[str, str, str], float] = field(default_factory=dict)  # by kind of trial, the last that worked

    def tell_long(self, asked: Asked, runs: int) -> None:
        """Tell what `runs` trainings on the memory will take, where they are long, from a few steps of one."""
        recipe = replace(asked.recipe, lr=_STILL)
        if asked.trained_on != "memory" or recipe.steps < _LONG:
            return
        seconds = pace(self.memory, recipe, self.source.split("test")).seconds(recipe.steps)
        self.progress.note(f"{asked}: {recipe.steps:,} steps, about {seconds / 60:,.1f} minutes, {runs} times")

    def trial(self, asked: Asked, seed: int, title: str) -> tuple[Trial, bool]:
        """One training, begun at the rate that worked last, and what it reached; and whether it had to be halved."""
        began, recipe = time.monotonic(), asked.recipe
        if asked.trained_on == "memory":
            images = recipe.images(len(self.memory.spec.data.classes))
            training, batch = recipe, recalled_batches(self.memory, images, seed, recipe.mixture)
        else:
            epochs = PROTOCOLS[asked.protocol].epochs
            given = Comparison(self.memory.spec, self.source, recipe, seed, self.full_epochs, epochs)
            training, batch = BASELINES[asked.trained_on].training(given)
        kind = (asked.protocol, asked.network, asked.trained_on)
        training = replace(training, lr=self.rates.get(kind, training.lr))
        network, rate = self._trained(training, batch, seed, title)
        found, mistakes = _tested(network, self.source.split("test"), self.memory.spec.data)
        seconds = time.monotonic() - began
        how = (training.steps, seconds, rate, mistakes, asked.protocol)
        return Trial(asked.network, asked.trained_on, found, *how), rate != training.lr

    def _trained(self, recipe: TrainRecipe, batch: Batch, seed: int, title: str) -> tuple[nn.Module, float]:
        """A fresh network trained by `recipe`, at its rate or that halved until training stays finite; and the rate."""
        for halvings in range(_HALVINGS + 1):
            attempt = replace(recipe, lr=recipe.lr / 2**halvings)
            network = build(recipe.network, self.memory.spec.data, seed=seed).to(self.device)
            try:
                train(network, attempt, batch, self.progress, seed=seed, title=title)
            except DivergedError:
                if halvings == _HALVINGS:
                    raise
                told = f"diverged at rate {attempt.lr:.4g}, begun again at {attempt.lr / 2:.4g}"
                self.progress.note(f"{title}: {told}")
            else:
                break
        return network, attempt.lr


def _tested(network: nn.Module, test: LabelledImages, data: DataSpec) -> tuple[float, tuple[Mistake, ...]]:
    """The accuracy of `network`, in [0, 1], and the mistakes that it makes."""
    answers = predictions(network, test, data)
    wrong = answers != test.labels
    pairs, counts = torch.stack([test.labels[wrong], answers[wrong]], 1).unique(dim=0, return_counts=True)
    mistakes = (
        Mistake(label, answer, images) for (label, answer), images in zip(pairs.tolist(), counts.tolist(), strict=True)
    )
    return (~wrong).double().mean().item(), tuple(mistakes)
