"""Pixels in a file: they are those of a tensor, and what was read is let go."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from memcli.data import images as of_images
from memcli.data.images import LabelledImages
from memcli.data.mapped import MappedPixels
from memcli.data.real import RealImages
from memcli.data.spec import DataSpec
from memcli.errors import DataError, LimitError
from memcli.seeds import generator

SHAPE = (300, 3, 8, 8)
SPEC = DataSpec("made", 3, 8, 8, ("a", "b", "c"), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.fixture
def both(tmp_path: Path) -> tuple[LabelledImages, LabelledImages]:
    """The same images in memory and in a file."""
    pixels = torch.randint(0, 256, SHAPE, generator=generator(0, "pixels"), dtype=torch.uint8)
    (tmp_path / "pixels").write_bytes(pixels.numpy().tobytes())
    labels = torch.arange(len(pixels)) % 3
    return LabelledImages(pixels, labels), LabelledImages(MappedPixels(tmp_path / "pixels", SHAPE), labels)


def read(images: LabelledImages) -> Tensor:
    return torch.cat(list(images.pieces()))


def test_images_in_a_file_are_those_in_memory(both: tuple[LabelledImages, LabelledImages]) -> None:
    here, there = both
    order = torch.randperm(300, generator=generator(1, "order"))
    for chosen in (order, order[:7], torch.tensor([5, 5, 0])):
        assert torch.equal(read(here.subset(chosen)), read(there.subset(chosen)))
        assert torch.equal(
            here.subset(order).subset(chosen[:3]).whole(), there.subset(order).subset(chosen[:3]).whole()
        )
        assert torch.equal(here.normalised(SPEC, chosen), there.normalised(SPEC, chosen))
    second = here.labels == 1
    assert torch.equal(here.subset(second).whole(), there.subset(second).whole())
    assert torch.equal(here.subset(order).subset(second).whole(), there.subset(order).subset(second).whole())
    assert there.subset(order).images.shape == SHAPE
    assert there.subset(order[:9]).images.numel() == 9 * 192
    assert torch.equal(here.images[3:8], there.images[3:8])
    assert torch.equal(here.normalised(SPEC), there.normalised(SPEC))
    for one, other in zip(
        RealImages(here, SPEC, torch.device("cpu")).sample(20, 0, 1),
        RealImages(there, SPEC, torch.device("cpu")).sample(20, 0, 1),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_what_looks_at_all_images_gives_the_same_in_pieces(
    both: tuple[LabelledImages, LabelledImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = both
    fingerprint, levels = here.fingerprint(SPEC.classes), here.levels()
    monkeypatch.setattr(of_images, "_PIECE", 7 * 192)
    for images in both:
        assert len(list(images.pieces())) == 43
        assert images.fingerprint(SPEC.classes) == fingerprint
        assert torch.equal(images.levels(), levels)
    assert levels.sum(1).tolist() == [300 * 64] * 3
    assert torch.equal(levels[1], torch.bincount(there.whole()[:, 1].flatten(), minlength=256))


def test_what_was_read_of_a_file_is_let_go(tmp_path: Path) -> None:
    smaps = Path("/proc/self/smaps")
    if not smaps.exists():
        pytest.skip("only Linux tells what is in memory of a file")
    shape = (6000, 3, 32, 32)
    (tmp_path / "large").write_bytes(bytes(6000 * 3072))
    images = LabelledImages(MappedPixels(tmp_path / "large", shape), torch.zeros(6000, dtype=torch.int64))
    images.fingerprint(("a",))
    images.normalised(DataSpec("made", 3, 32, 32, ("a",), (0.5,) * 3, (0.2,) * 3), torch.arange(0, 6000, 3))
    _, _, after = smaps.read_text().partition(f"{tmp_path / 'large'}\n")
    resident = next(line.split()[1] for line in after.splitlines() if line.startswith("Rss:"))
    assert resident == "0"


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(bytes(100))
    with pytest.raises(DataError, match=r"short is too short\. Read the source again"):
        MappedPixels(tmp_path / "short", SHAPE)


def test_more_images_than_memory_are_not_taken_there(
    both: tuple[LabelledImages, LabelledImages], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memcli.machine.available_memory", lambda: 1000)
    with pytest.raises(LimitError, match=r"300 images would all be in memory, .* Give fewer or smaller images"):
        both[1].to(torch.device("cpu"))
    assert len(both[0].to(torch.device("cpu"))) == 300
