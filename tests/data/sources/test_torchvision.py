"""torchvision's benchmarks: its own layouts, written small, and the real sets where they are at hand."""

import hashlib
import pickle
import sys
from pathlib import Path

import numpy
import pytest
import torch

from memcli.data.sources import open_source
from memcli.errors import DataError, UsageError


def write_cifar10(root: Path) -> dict[str, str]:
    """Ten images per file in the layout of CIFAR-10; returns the MD5 of each file."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    entries: dict[str, dict[str, object]] = {"batches.meta": {"label_names": [f"class {n}" for n in range(10)]}}
    for seed, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        pixels = numpy.random.default_rng(seed).integers(0, 256, (10, 3072), dtype=numpy.uint8)
        entries[name] = {"data": pixels, "labels": list(range(10))}
    for name, entry in entries.items():
        (folder / name).write_bytes(pickle.dumps(entry))
    return {name: hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest() for name in entries}


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(UsageError, match=r"does not offer 'ImageNet'.*MNIST, FashionMNIST, KMNIST, CIFAR10"):
        open_source("torchvision:ImageNet")


@pytest.mark.parametrize("name", ["MNIST", "CIFAR100", "SVHN"])
def test_missing_files_say_where_and_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"{name} is missing .*{tmp_path}.*`download`.*torchvision:{name}@/path"):
        open_source(f"torchvision:{name.lower()}@{tmp_path}")


def test_the_default_root_is_data(idx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idx.rename(idx.parent / "data")
    monkeypatch.chdir(idx.parent)
    source = open_source("torchvision:MNIST")
    assert source.spec.name == "MNIST"
    assert len(source.split("train")) == 20
    assert open_source("torchvision:MNIST", download=True).fingerprint == source.fingerprint  # nothing left to fetch


def test_a_download_that_fails_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="MNIST cannot be downloaded to"):
        open_source(f"torchvision:MNIST@{tmp_path}/file", download=True)


@pytest.mark.parametrize("damage", [b"", b"\0\0\x08\x03", b"\0\0\x77\x03" + bytes(28 * 28 * 20)])
def test_damaged_idx_files_are_refused(idx: Path, damage: bytes) -> None:
    (idx / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(damage)
    with pytest.raises(DataError, match="MNIST is missing or damaged"):
        open_source(f"torchvision:MNIST@{idx}")


def test_pickled_files_of_an_old_torchvision_are_refused(idx: Path) -> None:
    (idx / "MNIST/processed").mkdir()
    with pytest.raises(DataError, match="holds pickled files"):
        open_source(f"torchvision:MNIST@{idx}")


def test_cifar_files_that_are_not_the_published_ones_are_refused(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    with pytest.raises(DataError, match="CIFAR10 is missing or damaged"):
        open_source(f"torchvision:CIFAR10@{tmp_path}")


def test_cifar_pixels_keep_their_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    sums = write_cifar10(tmp_path)  # these files take the place of the published ones
    monkeypatch.setattr(CIFAR10, "train_list", [[f"data_batch_{n}", sums[f"data_batch_{n}"]] for n in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})
    source = open_source(f"torchvision:CIFAR10@{tmp_path}")
    assert source.spec.classes[3] == "class 3"
    assert len(source.split("train")) == 50
    stored = numpy.random.default_rng(5).integers(0, 256, (10, 3072), dtype=numpy.uint8)
    assert torch.equal(source.split("test").images, torch.from_numpy(stored).view(10, 3, 32, 32))


def test_svhn_is_read_from_its_mat_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    pixels = numpy.random.default_rng(0).integers(0, 256, (32, 32, 3, 20), dtype=numpy.uint8)
    lists = {}
    for split in ("train", "test"):
        path = tmp_path / f"{split}_32x32.mat"
        savemat(path, {"X": pixels, "y": numpy.arange(20).reshape(-1, 1) % 10 + 1})
        lists[split] = ["", path.name, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", lists)
    source = open_source(f"torchvision:svhn@{tmp_path}")
    assert source.classes == tuple("0123456789")
    assert source.split("train").labels[:10].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert torch.equal(source.split("test").images[7], torch.from_numpy(pixels[..., 7]).permute(2, 0, 1))


@pytest.mark.parametrize("error", ["ImportError('no such file')", "RuntimeError('operator nms does not exist')"])
def test_a_torchvision_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(DataError, match=r"torchvision cannot be imported: .*matches this torch"):
        open_source("torchvision:MNIST")


@pytest.mark.parametrize(("name", "mean"), [("MNIST", 0.1307), ("FashionMNIST", 0.2860)])
def test_the_real_sets_have_their_known_size_and_mean(real_data: Path, name: str, mean: float) -> None:
    source = open_source(f"torchvision:{name}@{real_data}")
    assert source.split("train").images.shape == (60_000, 1, 28, 28)
    assert source.split("test").images.shape == (10_000, 1, 28, 28)
    assert source.spec.mean[0] == pytest.approx(mean, abs=1e-4)
