"""Augmentation: each operation against a slow or an exact reference; pure, differentiable, one draw or one an image."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from memcli.data.augment import Augmentation
from memcli.data.augmentations import AUGMENTATIONS
from memcli.data.augmentations.geometry import interpolation
from memcli.errors import UsageError
from memcli.seeds import generator, isolated

SHAPE = (3, 8, 10)


def images(count: int = 4, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(count, *shape, generator=generator(0, "images"))


def warped(picture: Tensor, matrix: list[list[float]]) -> Tensor:
    """What torch's own sampler makes of (x, y) -> matrix (x, y, 1), in pixels from the middle of a square image."""
    theta = torch.tensor(matrix)
    theta[:, 2] *= 2 / picture.shape[-1]
    grid = affine_grid(theta[None], [1, *picture.shape[1:]], align_corners=False)
    return grid_sample(picture, grid, padding_mode="border", align_corners=False)


def test_interpolation_is_linear_and_ends_at_the_border() -> None:
    weights = interpolation(torch.tensor([0.0, 1.25, -3.0, 9.0]), 4)
    assert weights.tolist() == [[1, 0, 0, 0], [0, 0.75, 0.25, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    augmentation, start = Augmentation("flip"), images(64)
    found = augmentation.apply(start, augmentation.draw(SHAPE, 0, 0, 64))
    mirrored = [torch.equal(one, other.flip(-1)) for one, other in zip(found, start, strict=True)]
    same = [torch.equal(one, other) for one, other in zip(found, start, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 16 < sum(mirrored) < 48


def test_shift_and_scale_are_those_of_torch_s_sampler() -> None:
    picture = images(1, (2, 16, 16))
    for step in range(3):
        for name in ("shift", "scale"):
            augmentation = Augmentation(name)
            u = torch.rand(1, 3, generator=generator(0, f"augment {name}", step))[0].tolist()
            if name == "shift":
                matrix = [[1.0, 0.0, (2 * u[1] - 1) * 2.0], [0.0, 1.0, (2 * u[0] - 1) * 2.0]]  # an eighth of 16 pixels
            else:
                matrix = [[1.2 ** (2 * u[1] - 1), 0.0, 0.0], [0.0, 1.2 ** (2 * u[0] - 1), 0.0]]
            found = augmentation.apply(picture, augmentation.draw((2, 16, 16), 0, step))
            torch.testing.assert_close(found, warped(picture, matrix), rtol=1e-4, atol=1e-4)


def test_a_rotation_is_one() -> None:
    """A smooth blob off the middle comes where a rotation by the drawn angle brings it, and keeps its form."""
    y, x = torch.meshgrid(torch.arange(32.0) - 15.5, torch.arange(32.0) - 15.5, indexing="ij")
    blob = torch.exp(-((x - 7) ** 2 + (y + 3) ** 2) / 8)[None, None]
    augmentation = Augmentation("rotate")
    for step in range(4):
        angle = (2 * torch.rand(1, 3, generator=generator(0, "augment rotate", step))[0, 0].item() - 1) * math.pi / 12
        found = augmentation.apply(blob, augmentation.draw((1, 32, 32), 0, step))
        at = [7 * math.cos(angle) - 3 * math.sin(angle), -7 * math.sin(angle) - 3 * math.cos(angle)]
        middle = [(found * axis).sum().item() / found.sum().item() for axis in (x, y)]
        assert middle == pytest.approx(at, abs=0.05)
        assert found.sum().item() == pytest.approx(blob.sum().item(), rel=0.01)
        assert found.max() > 0.9


def test_colour_is_brightness_then_saturation_then_contrast() -> None:
    augmentation, start = Augmentation("colour"), images(2)
    found = augmentation.apply(start, augmentation.draw(SHAPE, 0, 3, 2))
    uniform = torch.rand(2, 3, generator=generator(0, "augment colour", 3))
    for image, changed, (u, v, w) in zip(start, found, uniform.tolist(), strict=True):
        bright = image + (u - 0.5)
        grey = bright.mean(0, keepdim=True)
        coloured = grey + 2 * v * (bright - grey)
        torch.testing.assert_close(changed, coloured.mean() + (0.5 + w) * (coloured - coloured.mean()))


def test_cutout_blanks_a_square_of_half_the_side_at_most() -> None:
    augmentation, start = Augmentation("cutout"), torch.ones(32, 3, 8, 8)
    found = augmentation.apply(start, augmentation.draw((3, 8, 8), 0, 0, 32))
    for image in found:
        gone = (image == 0).all(0)
        rows, columns = gone.any(1).sum().item(), gone.any(0).sum().item()
        assert 1 <= rows <= 4
        assert 1 <= columns <= 4
        assert gone.sum() == rows * columns
        assert ((image == 0) | (image == 1)).all()


def test_a_warp_is_one_of_three_and_each_comes_as_often() -> None:
    draw = torch.rand(600, 3, generator=generator(0, "augment warp", 0))
    start = images(1).expand(600, -1, -1, -1)
    found = Augmentation("warp").apply(start, Augmentation("warp").draw(SHAPE, 0, 0, 600))
    named = dict.fromkeys(("shift", "scale", "rotate"), 0)
    alone = {name: AUGMENTATIONS[name].apply(start, AUGMENTATIONS[name].draw(draw, SHAPE)) for name in named}
    for number in range(600):
        (name,) = (name for name in named if torch.allclose(found[number], alone[name][number], atol=1e-5))
        named[name] += 1
    assert all(150 < count < 250 for count in named.values())


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_draws_are_pure_and_differ_by_step_and_by_image(name: str) -> None:
    augmentation, start = Augmentation(name), images(1).expand(8, -1, -1, -1)
    one, same, other = (augmentation.apply(start, augmentation.draw(SHAPE, 0, step, 8)) for step in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert len(one.flatten(1).unique(dim=0)) > 1


@pytest.mark.parametrize("name", ["rotate", "warp"])
@pytest.mark.parametrize("size", [(20, 24), (24, 20), (20, 1)])
def test_large_images_are_turned_as_small_ones_by_far_smaller_draws(
    name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, augmentation = images(5, (2, *size)).double().requires_grad_(), Augmentation(name)

    def turned() -> tuple[Tensor, Tensor, int]:
        draws = augmentation.draw((2, *size), 0, 3, 5)
        found = augmentation.apply(start, draws)
        (gradient,) = torch.autograd.grad(found.square().sum(), start)
        return found, gradient, sum(draw.numel() for draw in draws)

    small = turned()
    monkeypatch.setattr("memcli.data.augmentations.rotate._LARGE", 20)
    large = turned()
    torch.testing.assert_close(large[:2], small[:2])
    assert large[2] < small[2] / 3 or size[1] == 1


def test_photographs_are_turned_each_by_its_own_draw_in_little_memory() -> None:
    """Fifty matrices for each of their lines take 2 GB."""
    draws = Augmentation("rotate").draw((3, 224, 224), 0, 0, 50)
    assert sum(draw.nbytes for draw in draws) == 2 * 4 * 50 * 224 * 224


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_one_draw_serves_all_images_alike(name: str) -> None:
    augmentation, start = Augmentation(name), images(3)
    draws = augmentation.draw(SHAPE, 0, 1)
    whole = augmentation.apply(start, draws)
    for image, changed in zip(start, whole, strict=True):
        torch.testing.assert_close(augmentation.apply(image[None], draws)[0], changed)


def test_all_of_them_in_order_with_exact_derivatives() -> None:
    augmentation = Augmentation("cutout,rotate,colour,flip,warp,scale,shift")
    draws = augmentation.draw((2, 4, 4), 0, 1, 2)
    start = images(2, (2, 4, 4)).double().requires_grad_()
    by_one = start
    for name in AUGMENTATIONS:
        single = Augmentation(name)
        by_one = single.apply(by_one, single.draw((2, 4, 4), 0, 1, 2))
    torch.testing.assert_close(augmentation.apply(start, draws), by_one)
    with isolated(0, "gradcheck"):  # it draws from the global generator
        assert torch.autograd.gradcheck(lambda x: augmentation.apply(x, draws), start)
        assert torch.autograd.gradgradcheck(lambda x: augmentation.apply(x, draws).square(), start)


def test_nothing_is_drawn_for_nothing() -> None:
    assert Augmentation("").draw(SHAPE, 0, 0) == ()
    start = images()
    assert Augmentation("").apply(start, ()) is start


@pytest.mark.parametrize("text", ["spin", "flip,", "flip,flip", "Flip"])
def test_unknown_names_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no augmentation\. Choose from flip, shift, .* with commas between"):
        Augmentation(text)
