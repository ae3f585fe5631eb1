"""The minibatches of inner training: which rows are recalled, with which labels, and what else a step needs."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from memcli.data.sampling import balanced_rows
from memcli.engine import Tensors
from memcli.memory.memory import Query
from memcli.memory.spec import MemorySpec


@dataclass(frozen=True)
class InnerBatch:
    """What one step of inner training uses besides the memory."""

    rows: Tensor
    labels: Tensor
    dropped: Tensor | None  # the seed of the network's dropout; None where no layer drops anything
    draws: Tensors  # the augmentation's
    fixed: Tensors  # parameters that are not trained

    def flat(self) -> Tensors:
        """As the engine takes it: one tuple of tensors."""
        return (self.rows, self.labels, *(() if self.dropped is None else (self.dropped,)), *self.draws, *self.fixed)

    @classmethod
    def of(cls, flat: Tensors, *, drops: bool, draws: int) -> Self:
        """The batch that `flat` was made of. `drops`: whether layers drop; `draws`: how many tensors a draw has."""
        rows, labels, *others = flat
        dropped = others.pop(0) if drops else None
        return cls(rows, labels, dropped, tuple(others[:draws]), tuple(others[draws:]))

    def pieces(self, most: int) -> list[tuple[float, "InnerBatch"]]:
        """The same images, up to `most` at a time, each piece with its share of them."""
        pairs = zip(self.rows.split(most), self.labels.split(most), strict=True)
        return [(len(rows) / len(self.rows), replace(self, rows=rows, labels=labels)) for rows, labels in pairs]


@dataclass(frozen=True)
class JointBatch:
    """What one step of joint training uses besides the memory."""

    rows: Tensor
    labels: Tensor
    others: Tensors  # images and label vectors of other tasks; empty where there are none

    def flat(self) -> Tensors:
        """As the engine takes it: one tuple of tensors."""
        return (self.rows, self.labels, *self.others)

    @classmethod
    def of(cls, flat: Tensors) -> Self:
        """The batch that `flat` was made of."""
        rows, labels, *others = flat
        return cls(rows, labels, tuple(others))

    def to(self, device: torch.device) -> "JointBatch":
        return JointBatch.of(tuple(part.to(device) for part in self.flat()))


def inner_queries(spec: MemorySpec, per_class: int, draw: int, steps: range, device: torch.device) -> list[Query]:
    """The queries of these steps of the training with that `draw`: `per_class` rows of every class each."""
    classes = len(spec.data.classes)
    queries = []
    for t in steps:
        chosen, of_class = balanced_rows(spec.rows, classes, per_class, draw, t, "inner minibatch")
        queries.append(Query.of_classes(chosen, of_class, classes))
    every_row = torch.stack([query.rows for query in queries]).to(device)  # one transfer, not T
    every_label = torch.stack([query.labels for query in queries]).to(device)
    return [Query(*pair) for pair in zip(every_row, every_label, strict=True)]
