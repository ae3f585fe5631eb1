"""Balanced minibatches: pure in the step, even over classes, and every row once an epoch."""

import pytest
import torch

from memcli.data.sampling import balanced_rows, shuffled_epochs


@pytest.mark.parametrize(("rows", "per_class"), [(6, 2), (6, 4), (5, 3), (7, 7), (3, 8), (1, 1), (1, 5)])
def test_every_row_of_every_class_comes_once_an_epoch(rows: int, per_class: int) -> None:
    steps = 2 * rows  # rows * per_class * 2 draws a class: whole epochs
    streams = torch.cat([balanced_rows(rows, 4, per_class, 0, step)[0].view(4, -1) for step in range(steps)], dim=1)
    epochs = streams.unflatten(1, (-1, rows)).sort(-1).values
    assert epochs.shape == (4, 2 * per_class, rows)
    assert torch.equal(epochs, torch.arange(rows).expand_as(epochs))


def test_a_minibatch_is_even_over_classes_and_pure_in_its_arguments() -> None:
    rows, classes = balanced_rows(29, 10, 10, seed=3, step=17, purpose="inner")
    assert rows.shape == classes.shape == (100,)
    assert torch.equal(classes.bincount(), torch.full((10,), 10))
    kept = rows.clone()
    rows.zero_()  # what a caller does to its copy reaches no one else
    for step in range(40):
        balanced_rows(29, 10, 10, seed=4, step=step)
    assert torch.equal(balanced_rows(29, 10, 10, seed=3, step=17, purpose="inner")[0], kept)


def test_seed_purpose_and_epoch_change_the_rows_and_classes_are_shuffled_apart() -> None:
    rows = balanced_rows(50, 3, 50, seed=0, step=0, purpose="a")[0]
    for seed, step, purpose in ((1, 0, "a"), (0, 1, "a"), (0, 0, "b")):
        assert not torch.equal(balanced_rows(50, 3, 50, seed, step, purpose)[0], rows)
    assert not torch.equal(rows[:50], rows[50:100])


@pytest.mark.parametrize(("count", "size"), [(10, 3), (6, 6), (5, 8)])
def test_numbers_come_in_shuffled_epochs(count: int, size: int) -> None:
    numbers = shuffled_epochs(count, size, 0, "test")
    assert len(numbers(0)) == min(size, count)
    stream = torch.cat([numbers(step) for step in range(count)]).view(-1, count)
    assert torch.equal(stream.sort(1).values, torch.arange(count).expand_as(stream))
    assert not torch.equal(stream[0], stream[1])
    assert torch.equal(shuffled_epochs(count, size, 0, "test")(7), numbers(7))
