"""What a file is, by its first bytes and by its name, and the step that makes it one that memcli reads. No torch."""

import os
from dataclasses import dataclass
from pathlib import Path

from memcli.errors import DataError
from memcli.text import printable

_LOOKED_AT = 512  # first bytes of a file
_LENGTH = 8  # those of a file of safetensors that are the length of its header


@dataclass(frozen=True)
class Format:
    """A kind of file that is not read as it is."""

    what: str  # "a tar archive"
    do: str
    suffixes: tuple[str, ...] = ()
    starts: tuple[bytes, ...] = ()


POINTER = Format(
    "a pointer of git-lfs, and not the file itself",
    "Run git lfs pull in the repository",
    starts=(b"version https://git-lfs.github.com/spec",),
)
ZIP = Format("a zip archive", "Unpack it by unzip, and give the folder", (".zip",), (b"PK\x03\x04", b"PK\x05\x06"))
_SAVED = "Save images and labels by numpy.savez, and read them as npz:FILE"
_FORMATS = (  # where the first bytes fit several, the first
    POINTER,
    Format("an array of numpy", _SAVED, (".npy",), (b"\x93NUMPY",)),
    Format("an HDF5 file", _SAVED, (".h5", ".hdf5"), (b"\x89HDF",)),
    Format(
        "a file of MATLAB",
        f"For SVHN write torchvision:SVHN@FOLDER. Else load it by scipy.io.loadmat. {_SAVED}",
        (".mat",),
        (b"MATLAB ",),
    ),
    Format(
        "a database of LMDB",
        "Write its images into one folder per class, and give that folder",
        (".mdb", ".lmdb"),
    ),
    Format("a file of TFRecords", "Write its images into one folder per class, and give that folder", (".tfrecord",)),
    Format(
        "a table of Arrow, as save_to_disk of datasets writes it",
        "Write Parquet by datasets.load_from_disk(FOLDER)['train'].to_parquet('train.parquet'), and give that",
        (".arrow", ".feather"),
        (b"ARROW1", b"\xff\xff\xff\xff"),
    ),
    Format("a memory file, or other tensors", "Give it to memcli recall, which writes its images", (".safetensors",)),
    Format("a file of torch.save, which is a pickle and can run code", _SAVED, (".pt", ".pth", ".ckpt")),
    Format(
        "a pickle, which can run code and is never read",
        "For CIFAR write torchvision:CIFAR10@FOLDER, the folder that holds cifar-10-batches-py. Else load it where you"
        " trust it, and save its arrays by numpy.savez",
        (".pkl", ".pickle"),
        tuple(bytes((0x80, protocol)) for protocol in range(2, 6)),
    ),
    ZIP,
    Format(
        "a compressed archive", "Unpack it by tar -xf, and give the folder", (".tgz", ".txz", ".tbz2", ".xz", ".bz2")
    ),
    Format("a gzip archive", "Unpack it by tar -xf or gunzip, and give what comes out", (".gz",), (b"\x1f\x8b",)),
    Format("a 7-Zip archive", "Unpack it by 7z x, and give the folder", (".7z",), (b"7z\xbc\xaf",)),
    Format("a RAR archive", "Unpack it by unrar x, and give the folder", (".rar",), (b"Rar!",)),
    Format(
        "a table in text",
        "Where it labels images, give their folder. Where it holds their pixels, read it by pandas, and save them by"
        " numpy.savez",
        (".csv", ".tsv", ".txt"),
    ),
    Format("JSON", "Give the folder of the images", (".json", ".jsonl")),
    Format(
        "one image",
        "Give the folder that holds one folder of images per class",
        (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp"),
        (b"\x89PNG", b"\xff\xd8\xff", b"GIF8"),
    ),
    Format(
        "a page of a web site", "Download the file itself", (".html", ".htm"), (b"<!DOCTYPE", b"<!doctype", b"<html")
    ),
)


def by_first_bytes(path: Path) -> Format | None:
    """What the file at `path` is by its first bytes; None where they do not tell, or it is no regular file."""
    first = _first_bytes(path)
    return next((known for known in _FORMATS if known.starts and first.startswith(known.starts)), None)


def seeming(path: Path) -> str:
    """What the file at `path` seems to be, which is not of memcli's own format; "" where it may be, or cannot be read.

    A file of ours is one of safetensors: eight bytes of a length, and then an object of JSON.
    """
    first = _first_bytes(path)
    length = int.from_bytes(first[:_LENGTH], "little")
    if len(first) <= _LENGTH or first[_LENGTH : _LENGTH + 1] == b"{" or length <= path.stat().st_size - _LENGTH:
        return ""
    if known := by_first_bytes(path):
        return known.what
    try:
        letters = first.decode()
    except UnicodeDecodeError as error:  # a letter may be cut at the end
        letters = first[: error.start].decode() if error.start > len(first) - 4 else "\0"
    return "text" if all(letter.isprintable() or letter.isspace() for letter in letters) else "something else"


def recognised(path: Path) -> Format | None:
    """What the file at `path` is, by its first bytes, else by its suffix; None where neither tells."""
    suffix = path.suffix.lower()
    return by_first_bytes(path) or next((known for known in _FORMATS if suffix in known.suffixes), None)


def refuse_other(path: Path, *own: Format) -> None:
    """Raise DataError where the first bytes of a file say that it is something else than what was asked for, `own`."""
    known = by_first_bytes(path)
    if known is not None and known not in own:
        raise DataError(f"{printable(path.name)} is {known.what}", do=known.do)


def _first_bytes(path: Path) -> bytes:
    """The first bytes of a regular file; none of what is none, or cannot be read."""
    if not os.path.isfile(path):  # reading a pipe would wait for ever
        return b""
    try:
        with path.open("rb") as file:
            return file.read(_LOOKED_AT)
    except OSError:
        return b""
