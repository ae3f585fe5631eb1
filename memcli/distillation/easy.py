"""Which real images a memory starts from, where it can hold little of each class: the easier ones.

With few images of a class, the typical ones teach more than the odd ones [EBS]. How easy an image is, is told by the
loss that it has after a network was trained on all of them for a short time, as in [EL2N].

[EBS] Sorscher, Geirhos, Shekhar, Ganguli, Morcos, "Beyond neural scaling laws: beating power law scaling via data
pruning", NeurIPS 2022. [EL2N] Paul, Ganguli, Dziugaite, "Deep Learning on a Data Diet", NeurIPS 2021.
"""

import math
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from memcli import seeds
from memcli.data.images import LabelledImages
from memcli.data.spec import DataSpec
from memcli.distillation.sizes import LARGE, SEEN
from memcli.errors import DivergedError
from memcli.networks import build, sized
from memcli.progress import Progress, Silent
from memcli.training.loop import Batch, answers, real_batches, train
from memcli.training.recipe import TrainRecipe

_JUDGE = TrainRecipe("convnet:width=32", batch=128, lr=0.05, decay=1.0, sampled=True)
_OF_CLASS = 750  # images of each class that the judge is trained on, with repetitions
_JUDGED = 500  # images of each class that are judged, at most; the others are left out
_KEPT = 0.25  # of those, but no fewer than the memory has rows of a class
_PROBED = 3  # steps that a pace is measured in
_LEAST = 0.2  # of its training: a judge that was trained for less tells little
_FORWARD = 1 / 3  # what judging an image costs of training on one


@dataclass(frozen=True)
class Judge:
    """Tells which images of a training part are easy, by a network on `device`; all draws are functions of `seed`."""

    images: LabelledImages
    data: DataSpec
    device: torch.device
    seed: int

    def seconds(self) -> float:
        """About how long `easier` takes, from a few of its steps."""
        judge, steps = self._network(), self._steps()
        began = time.monotonic()
        with suppress(DivergedError):  # it is told by `easier`
            train(judge, replace(_JUDGE, steps=_PROBED), self._batches(), seed=self.seed)
        each = (time.monotonic() - began) / _PROBED
        judged = min(len(self.images), _JUDGED * len(self.data.classes))
        return each * (steps + _FORWARD * judged / _JUDGE.batch)

    def easier(self, rows: int, seconds: float | None = None, progress: Progress | None = None) -> LabelledImages:
        """The easiest quarter of each class, and at least `rows` images of it, where it has as many; in a random order.

        Where that would take more than `seconds`, the network is trained for less; where it could hardly be trained at
        all, or diverges, these are all images.
        """
        progress = progress or Silent()
        share = 1.0 if seconds is None else min(1.0, seconds / self.seconds())
        if share < _LEAST:
            return self.images
        judge, classes = self._network(), range(len(self.data.classes))
        recipe = replace(_JUDGE, steps=math.ceil(share * self._steps()))
        try:
            train(judge, recipe, self._batches(), progress, seed=self.seed, title="judging images")
        except DivergedError:
            return self.images
        order = torch.randperm(len(self.images), generator=seeds.generator(self.seed, "judged"))
        of_classes = [order[self.images.labels[order] == label][:_JUDGED] for label in classes]
        losses = self._losses(judge, torch.cat(of_classes), progress).split([len(each) for each in of_classes])
        kept = []
        for each, loss in zip(of_classes, losses, strict=True):
            count = max(rows, math.ceil(_KEPT * len(each)))
            kept.append(each[loss.argsort(stable=True)[:count].sort().values])
        return self.images.subset(torch.cat(kept))

    @property
    def network(self) -> str:
        """The network that judges; it sees large images averaged down, as those of the stages do."""
        large = min(self.data.height, self.data.width) >= LARGE
        return sized(_JUDGE.network, self.data, side=SEEN) if large else _JUDGE.network

    def _network(self) -> nn.Module:
        return build(self.network, self.data, seed=self.seed, purpose="judge").to(self.device)

    def _steps(self) -> int:
        return math.ceil(_OF_CLASS * len(self.data.classes) / _JUDGE.batch)

    def _batches(self) -> Batch:
        return real_batches(self.images, self.data, _JUDGE.batch, self.seed)

    def _losses(self, judge: nn.Module, numbers: Tensor, progress: Progress) -> Tensor:
        """Of the images of those numbers, (n,), each: its loss, on the CPU."""
        judged = 0

        def losses(logits: Tensor, some: Tensor) -> Tensor:
            nonlocal judged
            judged += len(some)
            progress.update(min(judged, len(numbers)))  # some are judged again where memory does not suffice
            return cross_entropy(logits, self.images.labels[some].to(self.device), reduction="none")

        progress.begin("judging images", len(numbers), "images")
        found = answers(judge, self.images, self.data, numbers, losses)
        progress.end()
        return found
