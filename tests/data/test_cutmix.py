"""CutMix against its definition: whole rectangles of other images, and labels by what is left of each."""

import pytest
import torch

from memcli.data.cutmix import cut_and_mixed

IMAGES = torch.arange(4.0)[:, None, None, None].expand(4, 2, 10, 8)  # each of one colour, its number
LABELS = torch.eye(4)


def test_a_rectangle_of_another_image_brings_its_share_of_the_label() -> None:
    mixed = 0
    for step in range(40):
        images, labels = cut_and_mixed(IMAGES, LABELS, 1.0, 3, step)
        for number in range(4):
            pasted = images[number] != number
            rows, columns = pasted[0].any(1).nonzero(), pasted[0].any(0).nonzero()
            assert torch.equal(pasted[0], pasted[1]), "in all channels"
            if len(rows):
                assert pasted.sum() == 2 * len(rows) * len(columns), "a whole rectangle"
                assert rows[-1] - rows[0] + 1 == len(rows)
                assert len(images[number][pasted].unique()) == 1, "of one image"
                mixed += 1
            shares = [(images[number] == other).float().mean() for other in range(4)]
            torch.testing.assert_close(labels[number], torch.stack(shares))
    assert mixed > 60
    assert torch.equal(IMAGES[:, 0, 0, 0], torch.arange(4.0)), "what was given is not changed"


def test_the_share_is_even_and_the_chance_is_kept() -> None:
    kept = torch.stack([cut_and_mixed(IMAGES, LABELS, 1.0, 0, step)[1].diagonal() for step in range(200)])
    assert kept.min() < 0.2, "of its own label, where most of the image is another's"
    untouched = [cut_and_mixed(IMAGES, LABELS, 0.5, 0, step)[0] is IMAGES for step in range(400)]
    assert 150 < sum(untouched) < 250
    assert cut_and_mixed(IMAGES, LABELS, 0.0, 0, 0)[1] is LABELS


@pytest.mark.parametrize("step", range(4))
def test_it_is_pure_and_differs_by_step(step: int) -> None:
    one, same, other = (cut_and_mixed(IMAGES, LABELS, 1.0, 5, at)[0] for at in (step, step, step + 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
