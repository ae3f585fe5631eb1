"""`torchvision:NAME[@ROOT]`: the small benchmarks, read by torchvision from its own folder layout."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memcli.data.images import LabelledImages
from memcli.data.sources._limits import MAX_BYTES
from memcli.data.sources.base import Request, Source, SourceKind, listed
from memcli.errors import DataError, LimitError, UsageError
from memcli.text import printable

_NAMES = ("MNIST", "FashionMNIST", "KMNIST", "CIFAR10", "CIFAR100", "SVHN")
_DAMAGE = (RuntimeError, OSError, ValueError, TypeError, AssertionError, LookupError, EOFError)  # seen on bad files


def open_torchvision(rest: str, request: Request) -> Source:
    """ROOT is the folder that torchvision is given as `root`, by default `data`.

    CIFAR files are pickles: torchvision compares their MD5 with its own list before it unpickles them, so only the
    published files are ever loaded. The pickled `processed` files of old MNIST folders have no such check: refused.
    """
    asked, _, root = rest.partition("@")
    folder = Path(root or "data")
    name = {known.lower(): known for known in _NAMES}.get(asked.lower())
    if name is None:
        raise UsageError(f"torchvision: does not offer {printable(asked)!r}", do=f"Choose from {', '.join(_NAMES)}")
    if (folder / name / "processed").exists():
        raise DataError(
            f"{printable(str(folder / name))} holds pickled files of an old torchvision",
            do="Delete its folder processed",
        )
    if too_large := [path for path in (folder / name / "raw").glob("*") if path.stat().st_size > MAX_BYTES]:
        raise LimitError(f"{listed(path.name for path in too_large)} is no file of {name}", do="Download it again")
    test = _opened(name, folder, "test", request.download)
    if request.download:
        _opened(name, folder, "train", download=True)  # the splits of SVHN are files apart
    pixels = _pixels(test.data)
    channels, height, width = pixels.shape[1:]

    def load(split: str) -> LabelledImages:
        dataset = test if split == "test" else _opened(name, folder, split, download=False)
        labels = dataset.labels if name == "SVHN" else dataset.targets
        return LabelledImages(_pixels(dataset.data), torch.as_tensor(labels, dtype=torch.int64))

    classes = tuple(getattr(test, "classes", map(str, range(10))))  # SVHN has digits, and no names for them
    return Source(name, classes, (channels, height, width), load)


def _opened(name: str, folder: Path, split: str, download: bool) -> Any:
    """torchvision's own data set object."""
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise DataError(
            f"torchvision cannot be imported: {printable(str(error))}",
            do="Install the torchvision that matches this torch, or use imagefolder:, parquet: or npz:",
        ) from error
    which: dict[str, Any] = {"split": split} if name == "SVHN" else {"train": split == "train"}
    try:
        return getattr(datasets, name)(root=str(folder), download=download, **which)
    except _DAMAGE as error:
        shown = printable(str(folder))
        if download:
            raise DataError(
                f"{name} cannot be downloaded to {shown}: {printable(str(error))}",
                do="Check the network, and try again",
            ) from error
        raise DataError(
            f"{name} is missing or damaged in the folder {shown}: {printable(str(error))}",
            do=f"Add `download` or give the root: torchvision:{name}@/path",
        ) from error


def _pixels(data: Any) -> Tensor:
    """torchvision keeps (N, H, W), (N, H, W, 3) or, for SVHN, (N, 3, H, W): all to (N, C, H, W) uint8."""
    pixels: Tensor = torch.as_tensor(data)
    if pixels.ndim == 3:
        return pixels.unsqueeze(1)
    return pixels.permute(0, 3, 1, 2).contiguous() if pixels.shape[3] == 3 else pixels.contiguous()


SOURCE = SourceKind(open_torchvision, "NAME[@ROOT]: MNIST, FashionMNIST, KMNIST, CIFAR10, CIFAR100 or SVHN")
