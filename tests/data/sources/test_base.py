"""Images, sources, the cuts and the alignment by class name."""

import dataclasses

import pytest
import torch

from memcli.data.images import LabelledImages
from memcli.data.sources.base import Request, Source, aligned, fixed_fifth, holdout, listed, size_of
from memcli.data.spec import DataSpec
from memcli.errors import DataError, UsageError


def images_of(labels: list[int], shape: tuple[int, int, int] = (1, 2, 2)) -> LabelledImages:
    pixels = torch.arange(len(labels)).view(-1, 1, 1, 1).expand(-1, *shape).to(torch.uint8).contiguous()
    return LabelledImages(pixels, torch.tensor(labels))


def source_of(labels: list[int], classes: tuple[str, ...] = ("cat", "dog")) -> Source:
    return Source("pets", classes, (1, 2, 2), lambda _: images_of(labels))


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (torch.zeros(2, 1, 2, 2), torch.zeros(2).long(), "not 8-bit pixels"),
        (torch.zeros(2, 4).byte(), torch.zeros(2).long(), "not 8-bit pixels"),
        (torch.zeros(2, 1, 2, 2).byte(), torch.zeros(2), "not one whole number per image"),
        (torch.zeros(2, 1, 2, 2).byte(), torch.zeros(2, 1).long(), "not one whole number per image"),
        (torch.zeros(2, 1, 2, 2).byte(), torch.zeros(3).long(), "2 images and 3 labels"),
        (torch.zeros(0, 1, 2, 2).byte(), torch.zeros(0).long(), "there are no images"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(pixels: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        LabelledImages(pixels, labels)


def test_normalised_is_the_formula_of_the_spec() -> None:
    spec = DataSpec("x", 1, 2, 2, ("a", "b"), (0.5,), (0.25,))
    images = images_of([0, 1, 0])
    expected = (images.images[[2, 0]].double() / 255 - 0.5) / 0.25
    torch.testing.assert_close(images.normalised(spec, torch.tensor([2, 0])).double(), expected, rtol=1e-6, atol=1e-6)
    assert images.subset(torch.tensor([2, 1])).labels.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"shape \(1, 2, 2\) do not fit \(1, 3, 2\)"):
        images.normalised(dataclasses.replace(spec, height=3))


def test_a_blank_channel_has_a_positive_std() -> None:
    blank = LabelledImages(torch.full((4, 1, 2, 2), 255).byte(), torch.tensor([0, 1, 0, 1]))
    source = Source("blank", ("a", "b"), (1, 2, 2), lambda _: blank)
    assert source.spec.std == (1 / 255,)
    assert blank.normalised(source.spec).abs().max() == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1, 2], "has label 2, with 2 classes"), ([0, -1], "has label -1"), ([0, 0], "no training image of 'dog'")],
)
def test_labels_that_do_not_fit_the_classes_are_refused(labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        source_of(labels).split("train")


def test_images_of_another_shape_are_refused() -> None:
    source = Source("x", ("a",), (1, 2, 2), lambda _: images_of([0], (1, 3, 3)))
    with pytest.raises(DataError, match=r"test split have shape \(1, 3, 3\), others \(1, 2, 2\)"):
        source.split("test")


def test_names_are_checked() -> None:
    with pytest.raises(DataError, match="same name: 'cat'"):
        source_of([0, 1], ("cat", "cat"))
    with pytest.raises(DataError, match="not valid UTF-8"):
        source_of([0, 1], ("cat", "d\udcffg"))


def test_an_unusable_spec_is_the_fault_of_the_data() -> None:
    wide = LabelledImages(torch.zeros(1, 1, 1, 5000).byte(), torch.tensor([0]))
    with pytest.raises(DataError, match="width 5000 cannot be used"):
        _ = Source("x", ("a",), (1, 1, 5000), lambda _: wide).spec


def test_files_that_vanish_are_named() -> None:
    def load(_: str) -> LabelledImages:
        raise FileNotFoundError("gone.png")

    with pytest.raises(DataError, match=r"train split cannot be read: gone.png"):
        Source("x", ("a",), (1, 2, 2), load).split("train")


def test_the_fingerprint_changes_with_names_pixels_labels_and_shape() -> None:
    pixels = torch.arange(16).byte().view(2, 2, 2, 2)

    def print_of(classes: tuple[str, ...], pixels: torch.Tensor, labels: list[int]) -> str:
        images = LabelledImages(pixels, torch.tensor(labels))
        return Source("x", classes, tuple(pixels.shape[1:]), lambda _: images).fingerprint

    prints = {
        print_of(("a", "b"), pixels, [0, 1]),
        print_of(("a", "c"), pixels, [0, 1]),
        print_of(("a", "b"), pixels.flip(0), [0, 1]),
        print_of(("a", "b"), pixels, [1, 0]),
        print_of(("a", "b"), pixels.view(2, 1, 4, 2), [0, 1]),
    }
    assert len(prints) == 5


def test_holdout_is_stratified_seeded_and_complete() -> None:
    images = images_of([0] * 40 + [1] * 20 + [2] * 3 + [3])
    train, validation = holdout(images, 4, seed=1)
    assert torch.bincount(validation.labels, minlength=4).tolist() == [4, 2, 1, 0]
    assert torch.bincount(train.labels, minlength=4).tolist() == [36, 18, 2, 1]
    both = torch.cat([train.images, validation.images])[:, 0, 0, 0]
    assert sorted(both.tolist()) == list(range(64))
    again = holdout(images, 4, seed=1)[1].images
    assert torch.equal(again, validation.images)
    assert not torch.equal(holdout(images, 4, seed=2)[1].images, validation.images)


def test_holdout_never_empties_a_class() -> None:
    train, validation = holdout(images_of([0, 0, 1, 1]), 2, seed=0, fraction=0.99)
    assert train.labels.tolist() == validation.labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="no class has two images"):
        holdout(images_of([0, 1, 2]), 3, seed=0)
    with pytest.raises(UsageError, match=r"share of 1\.0 is impossible"):
        holdout(images_of([0, 0]), 1, seed=0, fraction=1.0)
    with pytest.raises(DataError, match="labels outside 0 to 1"):
        holdout(images_of([0, 2]), 2, seed=0)


def test_the_fixed_fifth_is_a_fifth_of_each_class() -> None:
    labels = torch.tensor([0, 1] * 50)
    cut = fixed_fifth(labels)
    assert torch.bincount(labels[cut["test"]]).tolist() == [10, 10]
    assert torch.cat([cut["train"], cut["test"]]).sort().values.tolist() == list(range(100))


def test_aligned_maps_labels_by_name() -> None:
    source = source_of([0, 1, 1], ("cat", "dog"))
    spec = DataSpec("memory", 1, 2, 2, ("dog", "cat"), (0.5,), (0.5,))
    seen = aligned(source, spec)
    assert seen.spec == spec
    assert seen.split("test").labels.tolist() == [1, 0, 0]
    assert torch.equal(seen.split("test").images, source.split("test").images)
    assert seen.fingerprint != source.fingerprint, "the order of the classes is part of the print"


def test_aligned_names_what_does_not_fit() -> None:
    spec = DataSpec("memory", 1, 2, 2, ("cat", "dog"), (0.5,), (0.5,))
    with pytest.raises(DataError, match=r"lacks the classes 'dog' and adds 'd\\\\x1bg'"):
        aligned(source_of([0, 1], ("cat", "d\x1bg")), spec)
    with pytest.raises(DataError, match=r"shape \(1, 2, 2\) \(channels, height, width\), the memory \(3, 2, 2\)"):
        aligned(source_of([0, 1]), DataSpec("memory", 3, 2, 2, ("cat", "dog"), (0.5,) * 3, (0.5,) * 3))


def test_lists_in_messages_are_short() -> None:
    assert listed("abcdefgh", most=2) == "'a', 'b' and 6 more"


@pytest.mark.parametrize("size", [(3, 3), (513, 32), (32, -1)])
def test_image_sizes_are_limited(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"image size is {size[0]}x{size[1]}"):
        Request(image_size=size)


@pytest.mark.parametrize(("given", "size"), [(32, (32, 32)), ("32", (32, 32)), ("32X100", (32, 100)), ((8, 9), (8, 9))])
def test_an_image_size_is_written_as_one_side_or_two(given: int | str | tuple[int, int], size: tuple[int, int]) -> None:
    assert size_of(given) == size


@pytest.mark.parametrize("given", ["", "big", "3x4x5", "32x", "-4", "٣٢", "9" * 5000])
def test_what_is_no_image_size_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="HEIGHTxWIDTH"):
        size_of(given)


def test_a_size_and_a_shape_are_too_much() -> None:
    with pytest.raises(UsageError, match="both an image size and a shape"):
        Request(image_size=(8, 8), shape=(1, 8, 8))
