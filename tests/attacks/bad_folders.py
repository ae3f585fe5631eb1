"""Bad data sets in files: folders of images, tables of labels, tar shards. All are small on disk."""

import os
import struct
import tarfile
import unicodedata
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dataset_attacks import Attack, picture, read, refused

_CLASSES = ("cat", "dog")


def folder(**files: bytes) -> Callable[[Path], str]:
    """Six good images in two classes, and these files: `cat__name` is the file `name` of that class."""

    def write(root: Path) -> str:
        good(root)
        for name, content in files.items():
            (root / name.replace("__", "/").replace("_png", ".png")).write_bytes(content)
        return f"imagefolder:{root}"

    return write


def good(root: Path, names: tuple[str, ...] = _CLASSES, count: int = 3) -> None:
    for place, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(count):
            (root / name / f"{number}.png").write_bytes(picture(100 * place + number))


def with_(add: Callable[[Path], object], guess: bool = False) -> Callable[[Path], str]:
    """Six good images in two classes, and what `add` does to their folder."""

    def write(root: Path) -> str:
        good(root)
        add(root)
        return f"{'' if guess else 'imagefolder:'}{root}"

    return write


def deep(root: Path, depth: int = 150) -> None:
    """Folders in folders. Of 1,500, Python's own walks fail, and `rm -r` must remove them."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def chunk(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    """A chunk of a PNG, which may declare another length than its own."""
    size = len(data) if length is None else length
    return struct.pack(">I", size) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG of 8-bit RGBA with these chunks after its header."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def black(width: int, height: int) -> bytes:
    """A PNG of transparent black: a thousandth of its pixels on disk."""
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(1 + 4 * width)) for _ in range(height)) + packer.flush()
    return png(width, height, chunk(b"IDAT", data))


def many_large(count: int, side: int) -> Callable[[Path], str]:
    """So many images of side x side transparent pixels in each of two classes."""

    def write(root: Path) -> str:
        content = black(side, side)
        for name in _CLASSES:
            (root / name).mkdir()
            for number in range(count):
                (root / name / f"{number}.png").write_bytes(content)
        return f"imagefolder:{root}"

    return write


def sparse(root: Path) -> None:
    """A PNG whose one chunk is 3 GB of zeros that take no place on disk."""
    with (root / "cat" / "9.png").open("wb") as file:
        file.write(png(8, 8)[:33] + struct.pack(">I", 0x7FFFFFFF) + b"tEXt")
        file.truncate(3 << 30)


def labelled(table: str, content: bytes) -> Callable[[Path], str]:
    """Six images in one folder, and a table of their labels."""

    def write(root: Path) -> str:
        for number in range(6):
            (root / f"image{number}.png").write_bytes(picture(number))
        (root / table).write_bytes(content)
        return f"imagefolder:{root}"

    return write


def tar(*members: tuple[str, bytes, dict[str, Any]], keep: int = 6, end: bytes = b"") -> Callable[[Path], str]:
    """A shard of good samples of two classes, and these members with these fields changed; then the bytes `end`."""

    def write(root: Path) -> str:
        samples = [
            (f"{n}.{kind}", content)
            for n in range(keep)
            for kind, content in (("png", picture(n)), ("cls", b"01"[n % 2 :][:1]))
        ]
        with tarfile.open(root / "set.tar", "w", format=tarfile.GNU_FORMAT) as archive:
            for name, content, fields in [*((name, content, {}) for name, content in samples), *members]:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                for field, value in fields.items():
                    setattr(entry, field, value)
                archive.fileobj.write(entry.tobuf(tarfile.GNU_FORMAT))  # type: ignore[union-attr]
                archive.fileobj.write(content + bytes(-len(content) % 512))  # type: ignore[union-attr]
                archive.offset = archive.fileobj.tell()  # type: ignore[union-attr]
        if end:
            with (root / "set.tar").open("r+b") as file:
                file.truncate((root / "set.tar").stat().st_size // 10240 * 10240)
                file.seek(-1024, os.SEEK_END)
                file.write(end)
        return f"webdataset:{root / 'set.tar'}"

    return write


def sparse_tar(kind: bytes, size: int, start: bytes = b"") -> Callable[[Path], str]:
    """A shard whose last member is a header of `size` bytes, which take no place on disk."""

    def write(root: Path) -> str:
        text = tar()(root)
        path = root / "set.tar"
        entry = tarfile.TarInfo("9.png")
        entry.type, entry.size = kind, size
        with tarfile.open(path) as archive:
            end = archive.getmembers()[-1].offset_data + tarfile.BLOCKSIZE
        with path.open("r+b") as file:
            file.seek(end)
            file.write(entry.tobuf(tarfile.GNU_FORMAT) + start)
            file.truncate(file.tell() - len(start) + size + 10240)
        return text

    return write


def special(name: str, make: Callable[[Path], object], scheme: str) -> Callable[[Path], str]:
    """A path that is no file."""

    def write(root: Path) -> str:
        make(root / name)
        return f"{scheme}:{root / name}"

    return write


def to_zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge_names(root: Path) -> None:
    """A class with each name of 255 bytes."""
    for number in range(40):
        (root / f"{number:03}{'x' * 252}").mkdir()


def twins(root: Path) -> str:
    """One class in two codings."""
    for form in ("NFC", "NFD"):
        good(root, (unicodedata.normalize(form, "é"),))
    good(root, ("b",))
    return f"imagefolder:{root}"


_CSV = b"file,label\n" + b"".join(b"image%d.png,%d\n" % (number, number % 2) for number in range(6))
_LONG = b"file,label\nimage0.png,0\n" + b"image1.png," + b"y" * 5_000_000 + b"\n"
_JPEG_2000 = b"\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00\x00\x14ftypjp2 \x00\x00\x00\x00jp2 " + b"\xff" * 100
_ZEROS = zlib.compress(bytes(200 << 20), 9)

FOLDERS: dict[str, Attack] = {
    "150 folders in folders": refused(with_(deep), "more than 100 deep"),
    "150 folders in folders, guessed": refused(with_(deep, guess=True), "more than 100 deep"),
    "1,500 folders in folders": refused(with_(partial(deep, depth=1500)), "more than 100 deep", slow=True),
    "large images in number": read(many_large(6, 8000), _CLASSES, slow=True),
    "a link to its own folder": read(with_(lambda root: (root / "cat" / "again").symlink_to(root)), _CLASSES),
    "a link to a class": read(with_(lambda root: (root / "twin").symlink_to(root / "cat")), _CLASSES),
    "a link to endless zeros": read(with_(lambda root: to_zero(root / "cat" / "9.png")), _CLASSES),
    "a link to nothing": read(with_(lambda root: (root / "cat" / "9.png").symlink_to("nowhere")), _CLASSES),
    "a pipe": read(with_(lambda root: os.mkfifo(root / "cat" / "9.png")), _CLASSES),
    "an image of 3 GB": refused(with_(sparse), "cat/9.png cannot be read: .*images up to 256"),
    "an image of 10^9 pixels": refused(folder(cat__9_png=png(40_000, 25_000)), "1000000000 pixels"),
    "an image of 2^62 pixels": refused(folder(cat__9_png=png(2**31 - 1, 2**31 - 1)), "cat/9.png cannot be read"),
    "an image of no pixels": refused(folder(cat__9_png=png(0, 8)), "cat/9.png cannot be read"),
    "text that unpacks to 200 MB": refused(
        folder(cat__9_png=png(8, 8, chunk(b"zTXt", b"a\0\0" + _ZEROS))), "cat/9.png cannot be read"
    ),
    "a profile that unpacks to 200 MB": refused(
        folder(cat__9_png=png(8, 8, chunk(b"iCCP", b"a\0\0" + _ZEROS))), "cat/9.png cannot be read"
    ),
    "an empty image": refused(folder(cat__9_png=b""), "cat/9.png cannot be read"),
    "half an image": refused(folder(cat__9_png=picture(9)[:150]), "cat/9.png cannot be read"),
    "a broken JPEG 2000": refused(folder(**{"cat__9.jp2": _JPEG_2000}), "cat/9.jp2 cannot be read"),
    "PostScript, which could start a program": refused(
        folder(cat__9_png=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"), "not an image of a known format"
    ),
    "a page of a web site": refused(folder(cat__9_png=b"<html>"), "not an image of a known format"),
    "a control character in a file's name": refused(folder(**{"cat__\x1b[2J\n.png": b""}), r"cat/\\x1b\[2J\\n.png"),
    "a control character in a class": read(
        lambda root: (good(root, ("a\x1b[2J", "b")), f"imagefolder:{root}")[1], ("a\x1b[2J", "b")
    ),
    "a class that is no text": refused(
        lambda root: (good(root, (os.fsdecode(b"\xff\xfe"), "b")), f"imagefolder:{root}")[1], "not valid UTF-8"
    ),
    "classes without images": refused(with_(huge_names), "no images in the class folder"),
    "one class": refused(lambda root: (good(root, ("a",)), f"imagefolder:{root}")[1], "nothing labels|one class"),
    "an empty folder": refused(lambda root: f"imagefolder:{root}", "no images in"),
    "one name in two codings": read(twins, ("b", "é")),
}

TABLES: dict[str, Attack] = {
    "a NUL in each cell": refused(labelled("labels.csv", _CSV.replace(b".", b"\0.")), "nothing labels"),
    "a NUL after a label": read(labelled("labels.csv", _CSV.replace(b",1", b",1\0")), ("0", "1")),
    "a field of 5 MB": refused(labelled("labels.csv", _LONG), "labels.csv cannot be read"),
    "a line of 5 MB without a comma": refused(labelled("labels.csv", b"x" * 5_000_000), "labels.csv cannot be read"),
    "a million columns": refused(labelled("labels.csv", b"," * 1_000_000 + b"\n" + _CSV), "labels.csv cannot be read"),
    "a quote that does not end": refused(
        labelled("labels.csv", b'file,label\nimage0.png,"0\n' + b"1,1\n" * 10**6), "labels.csv cannot be read"
    ),
    "another encoding": refused(labelled("labels.csv", _CSV.decode().encode("utf-16")), "labels.csv cannot be read"),
    "an empty table": refused(labelled("labels.csv", b""), "nothing labels"),
    "a table that is a pipe": refused(
        lambda root: (labelled("x.csv", b"")(root), os.mkfifo(root / "labels.csv"), f"imagefolder:{root}")[2],
        "nothing labels",
    ),
}

TARS: dict[str, Attack] = {
    "links": read(
        tar(
            ("7.png", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
            ("8.png", b"", {"type": tarfile.LNKTYPE, "linkname": "0.png"}),
        ),
        ("0", "1"),
    ),
    "devices": read(
        tar(("7.png", b"", {"type": tarfile.CHRTYPE}), ("8.png", b"", {"type": tarfile.FIFOTYPE})), ("0", "1")
    ),
    "names that climb": read(
        tar(
            ("/etc/7.png", picture(7), {}),
            ("/etc/7.cls", b"0", {}),
            ("../../8.png", picture(8), {}),
            ("../../8.cls", b"1", {}),
        ),
        ("0", "1"),
    ),
    "a member beyond the end": refused(tar(("7.png", b"", {"size": 1 << 40})), "is not its size"),
    "a member of a size below zero": refused(tar(("7.png", b"", {"size": -512})), "set.tar cannot be read"),
    "a label of 2 MB": refused(tar(("7.cls", b"1" * (2 << 20), {})), "labels up to 1048576"),
    "a label of no text": refused(tar(("7.png", picture(7), {}), ("7.cls", b"\xff", {})), "set.tar cannot be read"),
    "a label nested 100,000 deep": refused(tar(("7.json", b"[" * 100_000, {})), "set.tar cannot be read"),
    "a label that is a list": refused(tar(("7.json", b'{"label": [1]}', {})), "neither a name nor a whole number"),
    "a number of 5,000 digits": refused(
        tar(("7.json", b'{"label": ' + b"9" * 5000 + b"}", {})), "set.tar cannot be read"
    ),
    "a long name of 3 GB": refused(sparse_tar(tarfile.GNUTYPE_LONGNAME, 3 << 30), "set.tar cannot be read"),
    "a header of 3 GB": refused(sparse_tar(tarfile.XHDTYPE, 3 << 30), "set.tar cannot be read"),
    "a header of 60,000 digits": refused(sparse_tar(tarfile.XHDTYPE, 60_000, b"1" * 60_000), "set.tar cannot be read"),
    "an image of 300 MB": refused(sparse_tar(tarfile.REGTYPE, 300 << 20), "images up to 256 are read"),
    "half a shard": refused(
        lambda root: (
            tar()(root),
            (root / "set.tar").write_bytes((root / "set.tar").read_bytes()[:700]),
            f"webdataset:{root}",
        )[2],
        "set.tar cannot be read",
    ),
    "a shard that is a pipe": refused(special("set.tar", os.mkfifo, "webdataset"), "no .tar files"),
    "a shard of endless zeros": refused(special("set.tar", to_zero, "webdataset"), "no .tar files"),
    "shards in a deep folder": refused(lambda root: (deep(root), f"webdataset:{root}")[1], "more than 100 deep"),
}

PATHS: dict[str, Attack] = {
    "npz, a pipe": refused(special("set.npz", os.mkfifo, "npz"), "there is no file"),
    "npz, endless zeros": refused(special("set.npz", to_zero, "npz"), "there is no file"),
    "npz, a folder": refused(special("set.npz", Path.mkdir, "npz"), "there is no file"),
    "parquet, a pipe": refused(special("set.parquet", os.mkfifo, "parquet"), "no parquet files"),
    "parquet, endless zeros": refused(special("set.parquet", to_zero, "parquet"), "no parquet files"),
    "parquet, a deep folder": refused(lambda root: (deep(root), f"parquet:{root}")[1], "more than 100 deep"),
    "a path, a pipe": refused(lambda root: (os.mkfifo(root / "x"), str(root / "x"))[1], "cannot be guessed"),
    "a path, endless zeros": refused(lambda root: (to_zero(root / "x"), str(root / "x"))[1], "cannot be guessed"),
    "a path of 5,000 letters": refused(lambda _: "x" * 5000, "cannot be read|no file or folder"),
    "a link to itself": refused(
        lambda root: ((root / "x").symlink_to("x"), str(root / "x"))[1], "cannot be read|no file"
    ),
}

GROUPS = {"folder": FOLDERS, "table": TABLES, "tar": TARS, "path": PATHS}
