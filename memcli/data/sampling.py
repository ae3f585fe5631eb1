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


@lru_cache(maxsize=16)
def _order(classes: int, seed: int, purpose: str, epoch: int) -> Tensor:
    """A permutation of the classes, (classes,) int64."""
    return torch.randperm(classes, generator=generator(seed, f"{purpose} classes", epoch))


def shared_out(images: int, classes: int, seed: int, step: int, purpose: str) -> tuple[Tensor, Tensor]:
    """How the images of minibatch `step` divide into classes, both (images,) int64, class after class.

    The class of each image, and how many images its class had before it, in this minibatch and in those before.

    Every class has images // classes of them. Those that are left over go to classes in turn: one permutation of all
    classes after another. So a minibatch of fewer images than classes samples classes without replacement, except where
    it crosses from one permutation to the next; at each step all classes have had as many images, to one; and the mean
    over the minibatches of one permutation is that over all classes. A function of the arguments alone.
    """
    each, left = divmod(images, classes)

    def had(steps: int) -> Tensor:
        """The images of each class in so many steps, (classes,)."""
        turn, begun = divmod(steps * left, classes)
        counts = torch.full((classes,), steps * each + turn)
        if begun:
            counts[_order(classes, seed, purpose, turn)[:begun]] += 1
        return counts

    before, after = had(step), had(step + 1)
    number = after - before  # in this minibatch
    of_class = torch.arange(classes).repeat_interleave(number)
    ahead = torch.arange(images) - (number.cumsum(0) - number)[of_class]  # of its class, in this minibatch
    return of_class, before[of_class] + ahead


def drawn_rows(
    rows: int, classes: int, images: int, seed: int, step: int, purpose: str = "rows"
) -> tuple[Tensor, Tensor]:
    """The rows and classes of minibatch `step`, both (images,) int64, class after class: see `shared_out`.

    Each class has its own endless stream of rows, one permutation of all rows after another, and a minibatch takes the
    next ones of it. So this is a function of its arguments alone, no row comes twice in an epoch, and a minibatch may
    cross from one epoch to the next, or hold several.
    """
    of_class, place = shared_out(images, classes, seed, step, purpose)
    first, last = (int(bound) // rows for bound in place.aminmax())
    epochs = [_shuffled(rows, classes, seed, purpose, epoch) for epoch in range(first, last + 1)]
    return torch.cat(epochs, dim=1)[of_class, place - first * rows], of_class


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
