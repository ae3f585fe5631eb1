"""Balanced minibatches: pure in the step, even over classes, and every row once an epoch."""

import pytest
import torch

from memcli.data.sampling import drawn_rows, shared_out, shuffled_epochs


@pytest.mark.parametrize(("rows", "per_class"), [(6, 2), (6, 4), (5, 3), (7, 7), (3, 8), (1, 1), (1, 5)])
def test_every_row_of_every_class_comes_once_an_epoch(rows: int, per_class: int) -> None:
    steps = 2 * rows  # rows * per_class * 2 draws a class: whole epochs
    streams = torch.cat([drawn_rows(rows, 4, 4 * per_class, 0, step)[0].view(4, -1) for step in range(steps)], dim=1)
    epochs = streams.unflatten(1, (-1, rows)).sort(-1).values
    assert epochs.shape == (4, 2 * per_class, rows)
    assert torch.equal(epochs, torch.arange(rows).expand_as(epochs))


def test_a_minibatch_is_even_over_classes_and_pure_in_its_arguments() -> None:
    rows, classes = drawn_rows(29, 10, 100, seed=3, step=17, purpose="inner")
    assert rows.shape == classes.shape == (100,)
    assert torch.equal(classes.bincount(), torch.full((10,), 10))
    kept = rows.clone()
    rows.zero_()  # what a caller does to its copy reaches no one else
    for step in range(40):
        drawn_rows(29, 10, 100, seed=4, step=step)
    assert torch.equal(drawn_rows(29, 10, 100, seed=3, step=17, purpose="inner")[0], kept)


def test_seed_purpose_and_epoch_change_the_rows_and_classes_are_shuffled_apart() -> None:
    rows = drawn_rows(50, 3, 150, seed=0, step=0, purpose="a")[0]
    for seed, step, purpose in ((1, 0, "a"), (0, 1, "a"), (0, 0, "b")):
        assert not torch.equal(drawn_rows(50, 3, 150, seed, step, purpose)[0], rows)
    assert not torch.equal(rows[:50], rows[50:100])


@pytest.mark.parametrize(("count", "size"), [(10, 3), (6, 6), (5, 8)])
def test_numbers_come_in_shuffled_epochs(count: int, size: int) -> None:
    numbers = shuffled_epochs(count, size, 0, "test")
    assert len(numbers(0)) == min(size, count)
    stream = torch.cat([numbers(step) for step in range(count)]).view(-1, count)
    assert torch.equal(stream.sort(1).values, torch.arange(count).expand_as(stream))
    assert not torch.equal(stream[0], stream[1])
    assert torch.equal(shuffled_epochs(count, size, 0, "test")(7), numbers(7))


# Fewer images than classes, more, multiples of them or not; and how many steps give every class as many images.
SHARES = [(3, 10, 10), (4, 6, 3), (1, 5, 5), (7, 3, 3), (10, 4, 2), (6, 3, 1), (5, 5, 1)]


@pytest.mark.parametrize(("images", "classes", "cycle"), SHARES)
def test_the_mean_over_a_cycle_of_steps_is_that_over_all_classes(images: int, classes: int, cycle: int) -> None:
    """Of any statistic that is linear in the images: here whole numbers, so that the sums are exact."""
    of_class = torch.randint(-1000, 1000, (classes,), generator=torch.Generator().manual_seed(0))
    for begin in (0, cycle, 1_000_000_007 * cycle):
        seen = [shared_out(images, classes, 3, begin + step, "test")[0] for step in range(cycle)]
        assert classes * of_class[torch.cat(seen)].sum() == cycle * images * of_class.sum()


@pytest.mark.parametrize(("images", "classes", "cycle"), SHARES)
def test_at_every_step_all_classes_have_had_as_many_images_to_one(images: int, classes: int, cycle: int) -> None:
    seen = torch.zeros(classes, dtype=torch.int64)
    orders = set()
    for step in range(6 * cycle):
        of_class, before = shared_out(images, classes, 0, step, "test")
        assert of_class.shape == before.shape == (images,)
        for number, place in zip(of_class.tolist(), before.tolist(), strict=True):
            assert place == seen[number]  # a class's images are numbered without a gap
            seen[number] += 1
        assert seen.max() - seen.min() <= 1
        orders.add(tuple(of_class.tolist()))
    assert len(orders) > 1 or images % classes == 0  # not the same classes again and again


def test_fewer_images_than_classes_are_of_different_classes_within_a_permutation() -> None:
    for step in range(20):
        assert len(shared_out(4, 12, 1, step, "test")[0].unique()) == 4


@pytest.mark.parametrize(("images", "classes"), [(3, 10), (7, 3), (4, 6)])
def test_rows_of_sampled_classes_come_once_an_epoch(images: int, classes: int) -> None:
    rows = 5
    drawn = [drawn_rows(rows, classes, images, 0, step) for step in range(2 * rows * classes)]
    streams = [torch.cat([own[of == number] for own, of in drawn]) for number in range(classes)]
    for stream in streams:
        epochs = stream.view(-1, rows)
        assert torch.equal(epochs.sort(1).values, torch.arange(rows).expand_as(epochs))
    assert len({tuple(stream[:rows].tolist()) for stream in streams}) > 1
