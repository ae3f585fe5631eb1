"""The minibatches of inner training: which rows are recalled, with which labels, and what else a step needs."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from memcli.data.sampling import drawn_rows
from memcli.engine import Tensors
from memcli.memory.spec import MemorySpec


@dataclass(frozen=True)
class InnerBatch:
    """What one step of inner training uses besides the memory."""

    rows: Tensor  # (n,) int64
    classes: Tensor  # (n,) int64: of so many classes as there may be, a vector of them all would cost more than a step
    dropped: Tensor | None  # the seed of the network's dropout; None where no layer drops anything
    draws: Tensors  # the augmentation's
    fixed: Tensors  # parameters that are not trained

    def flat(self) -> Tensors:
        """As the engine takes it: one tuple of tensors."""
        return (self.rows, self.classes, *(() if self.dropped is None else (self.dropped,)), *self.draws, *self.fixed)

    @classmethod
    def of(cls, flat: Tensors, *, drops: bool, draws: int) -> Self:
        """The batch that `flat` was made of. `drops`: whether layers drop; `draws`: how many tensors a draw has."""
        rows, classes, *others = flat
        dropped = others.pop(0) if drops else None
        return cls(rows, classes, dropped, tuple(others[:draws]), tuple(others[draws:]))

    def pieces(self, most: int) -> list[tuple[float, "InnerBatch"]]:
        """The same images, up to `most` at a time, each piece with its share of them."""
        pairs = zip(self.rows.split(most), self.classes.split(most), strict=True)
        return [(len(rows) / len(self.rows), replace(self, rows=rows, classes=classes)) for rows, classes in pairs]


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


def inner_draws(
    spec: MemorySpec, images: int, draw: int, steps: range, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """The rows and classes, both (images,) int64, of these steps of the training with that `draw`."""
    drawn = [drawn_rows(spec.rows, len(spec.data.classes), images, draw, t, "inner minibatch") for t in steps]
    rows, classes = (torch.stack(parts).to(device) for parts in zip(*drawn, strict=True))  # one transfer each, not T
    return list(zip(rows, classes, strict=True))
