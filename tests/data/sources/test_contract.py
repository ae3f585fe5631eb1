"""What holds for every source, whatever its kind."""

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch

from memcli.data.sources import Source, open_source, schemes
from memcli.errors import UsageError

Opener = Callable[[], Source]


@pytest.fixture(params=[scheme for scheme, _ in schemes() if scheme not in ("cifar", "hf")])  # refused; from a network
def opener(
    request: pytest.FixtureRequest,
    folder: Callable[..., Path],
    shard: Callable[..., Path],
    npz: Callable[..., Path],
    idx: Path,
    tar: Callable[[int], Path],
) -> Opener:
    """Opens a small source of each registered kind, afresh at each call."""
    scheme = request.param
    generator = numpy.random.default_rng(0)

    def text() -> str:
        if scheme == "imagefolder":
            return f"{scheme}:{folder({'cat': 6, 'dog': 9})}"
        if scheme == "parquet":
            shard("train-0", [0, 1, 1, 0], ["cat", "dog"])
            return f"{scheme}:{shard('test-0', [1, 0], ['cat', 'dog'])}"
        if scheme == "npz":
            images = generator.integers(0, 256, (20, 8, 8), dtype=numpy.uint8)
            return f"{scheme}:{npz(images=images, labels=numpy.arange(20) % 2)}"
        if scheme == "idx":
            return f"{scheme}:{idx / 'MNIST' / 'raw'}"
        if scheme == "webdataset":
            return f"{scheme}:{tar(20)}"
        return f"{scheme}:" + {"digits": "", "torchvision": f"mnist@{idx}", "fake": "n=20,test=10"}[scheme]

    written = text()
    return lambda: open_source(written)


def test_splits_spec_and_fingerprint(opener: Opener) -> None:
    source, again = opener(), opener()
    spec = source.spec
    assert spec.shape == source.shape
    assert spec.classes == source.classes
    for name in ("train", "test"):
        split = source.split(name)
        assert split.images.dtype == torch.uint8
        assert split.labels.dtype == torch.int64
        assert split.images.shape == (len(split), *spec.shape)
        assert 0 <= int(split.labels.min()) <= int(split.labels.max()) < len(spec.classes)
        assert source.split(name) is split, "a split is loaded once"
        assert torch.equal(split.images, again.split(name).images)
        assert torch.equal(split.labels, again.split(name).labels)
    assert source.split("train").labels.unique().tolist() == list(range(len(spec.classes)))
    assert source.fingerprint == again.fingerprint
    assert len(bytes.fromhex(source.fingerprint)) == 32


def test_train_and_test_share_no_image(opener: Opener) -> None:
    source = opener()
    train = {image.numpy().tobytes() for image in source.split("train").images}
    test = {image.numpy().tobytes() for image in source.split("test").images}
    assert not train & test


def test_mean_and_std_are_those_of_the_train_pixels(opener: Opener) -> None:
    source = opener()
    train = source.split("train")
    pixels = train.images.double() / 255  # (N, C, H, W)
    torch.testing.assert_close(torch.tensor(source.spec.mean).double(), pixels.mean((0, 2, 3)))
    torch.testing.assert_close(torch.tensor(source.spec.std).double(), pixels.std((0, 2, 3), correction=0))
    normalised = train.normalised(source.spec)
    assert normalised.dtype == torch.float32
    assert normalised.mean((0, 2, 3)).abs().max() < 1e-4
    assert (normalised.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4


def test_an_unknown_split_is_refused(opener: Opener) -> None:
    with pytest.raises(UsageError, match="there is no split 'valid"):
        opener().split("valid")
