"""`cifar:DIR`, which is refused: the files are pickles, and a pickle can run code when it is read."""

from pathlib import Path

from memcli.data.sources.base import Request, Source, SourceKind
from memcli.errors import DataError
from memcli.text import printable


def open_cifar(rest: str, _: Request) -> Source:
    """Say what reads the same images: torchvision:, which compares the files with the checksums of those published."""
    folder = Path(rest)
    name = "CIFAR100" if (folder / "meta").exists() or "100" in folder.name else "CIFAR10"
    published = {"CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python"}[name]
    root = folder.parent if folder.name == published else folder
    raise DataError(
        f"the CIFAR files of {printable(rest)!r} are pickles, which can run code: they are not read",
        do=f"Write torchvision:{name}@{printable(str(root))}, which reads the published files in its folder "
        f"{published} by their checksums, or hf:uoft-cs/{name.lower()}",
    )


def _is_cifar(path: Path) -> bool:
    return (path / "data_batch_1").is_file() or all((path / name).is_file() for name in ("meta", "train", "test"))


SOURCE = SourceKind(
    open_cifar,
    "DIR: refused, since these files are pickles; says what reads the same images",
    looks_like=_is_cifar,
)
