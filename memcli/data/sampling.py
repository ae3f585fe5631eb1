"""Which rows of a memory, or which images, a training step uses: all of them once, then all again."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from memcli.seeds import generator


@lru_cache(maxsize=16)  # successive steps share an epoch; nobody writes to the cached tensor
def _shuffled(rows: int, classes: int, seed: int, purpose: str, epoch: int) -> Tensor:
    """For each class a permutation of the rows, (classes, rows) int64."""
    return torch.rand(classes, rows, generator=generator(seed, purpose, epoch)).argsort(1)


def balanced_rows(
    rows: int, classes: int, per_class: int, seed: int, step: int, purpose: str = "rows"
) -> tuple[Tensor, Tensor]:
    """The rows and classes of minibatch `step`, both (classes * per_class,) int64, class after class.

    Each class has its own endless stream of rows: one permutation of all rows after another. Step t takes the numbers
    from t * per_class to (t + 1) * per_class of it. So this is a function of its arguments alone, no row comes twice in
    an epoch, and a minibatch may cross from one epoch to the next, or hold several where per_class > rows.
    """
    start, stop = step * per_class, (step + 1) * per_class
    first, last = start // rows, (stop - 1) // rows
    epochs = [_shuffled(rows, classes, seed, purpose, epoch) for epoch in range(first, last + 1)]
    chosen = torch.cat(epochs, dim=1)[:, start - first * rows : stop - first * rows]
    return chosen.flatten(), torch.arange(classes).repeat_interleave(per_class)


def shuffled_epochs(count: int, size: int, seed: int, purpose: str) -> Callable[[int], Tensor]:
    """step -> the numbers below `count` of minibatch `step`, (size,) int64, in one shuffled epoch after another.

    Where there are fewer than `size` numbers, each minibatch is all of them. One that crosses from one epoch to the
    next holds the last numbers of the first and the first of the second. A function of (seed, step) alone.
    """
    size = min(size, count)

    @lru_cache(maxsize=2)
    def shuffled(epoch: int) -> Tensor:
        return torch.randperm(count, generator=generator(seed, purpose, epoch))

    def chosen(step: int) -> Tensor:
        start, stop = step * size, (step + 1) * size
        first, last = start // count, (stop - 1) // count
        order = torch.cat([shuffled(epoch) for epoch in range(first, last + 1)])
        return order[start - first * count : stop - first * count]

    return chosen
