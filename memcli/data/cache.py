"""Images that were decoded once, each set of them in a folder of its own of the cache.

    FOLDER/images-<32 hex digits>/pixels    8 bits each, (N, C, H, W), and nothing else
    FOLDER/images-<32 hex digits>/told      lines of JSON: first what they are, then one for each block of them

A block's line has its SHA-256, and is written when the block is on disk: a decoding that was killed goes on after the
last whole line, and a set is complete with its last one. Readers compare all blocks with their lines, and from the
first that differs on images are decoded again. So are they from a block on that has an image which the system would not
read: it may another time. Numbers and texts are all that is read; nothing is unpickled.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy
from numpy.typing import NDArray

from memcli import machine
from memcli.data.mapped import MappedPixels
from memcli.errors import LimitError, UsageError
from memcli.text import printable

USUAL = "~/.cache/memcli"  # where no cache is named
KIND, FORMAT = "memcli images", 1
PIXELS, TOLD, START = "pixels", "told", "images-"
_BLOCK = 32 << 20  # bytes of a block, about
LINE = 1 << 24  # the longest line that is read
_SPARE = 64 << 20  # bytes of disk that are left free
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WAIT = 0.2  # seconds between two looks at a set that another process is decoding

Damaged = list[tuple[int, str, str]]  # images that cannot be read: the number in the set, the name, what is wrong


def folder_of(cache: str | Path | None) -> Path:
    """The folder of the cache that is named so, or of the usual one. UsageError where that has no home."""
    folder = os.path.expanduser(USUAL if cache is None else cache)
    if cache is None and folder == USUAL:
        raise UsageError("decoded images have no home folder to be kept in", do="Choose a folder by `cache`")
    return Path(folder)


@dataclass(frozen=True)
class Contents:
    """What decides the pixels of a set: where any of it differs, it is another set."""

    name: str
    split: str
    images: int
    shape: tuple[int, int, int]
    fit: str
    files: str  # a checksum of the names, sizes and times of the files that they come from
    chosen: str  # and of which images of these they are
    decoder: str

    @property
    def image_bytes(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def bytes(self) -> int:
        return self.images * self.image_bytes

    @property
    def block(self) -> int:
        """Images in a block, but for the last."""
        return max(1, _BLOCK // self.image_bytes)

    def head(self) -> str:
        """The first line."""
        return json.dumps({"kind": KIND, "format": FORMAT, **asdict(self)})

    def folder(self, cache: Path) -> Path:
        return cache / f"{START}{hashlib.sha256(self.head().encode()).hexdigest()[:32]}"


@dataclass(frozen=True)
class Block:
    """A finished block: its images' SHA-256, and those of them that cannot be read."""

    sha256: str
    damaged: Damaged

    @classmethod
    def of(cls, line: bytes) -> "Block":
        """What a line says. ValueError, TypeError, KeyError or OverflowError where it says something else."""
        found = json.loads(line)
        damaged = [(int(number), str(name), str(reason)) for number, name, reason in found["damaged"]]
        return cls(str(found["sha256"]), damaged)

    def line(self) -> bytes:
        return (json.dumps(asdict(self)) + "\n").encode()


class Cached:
    """A set in the cache, as far as it is there."""

    def __init__(self, cache: Path, contents: Contents) -> None:
        """Looks at what is there, which takes a reading of it. Raises UsageError where it cannot be read."""
        self.folder, self.contents = contents.folder(cache), contents
        self.blocks: list[Block] = []
        with explained(self.folder):
            self._look()

    @property
    def done(self) -> int:
        """The images that are there, from the first on."""
        return min(len(self.blocks) * self.contents.block, self.contents.images)

    @property
    def is_complete(self) -> bool:
        return self.done == self.contents.images

    @property
    def damaged(self) -> Damaged:
        return [each for block in self.blocks for each in block.damaged if 0 <= each[0] < self.contents.images]

    def pixels(self) -> MappedPixels:
        """All of them, (N, C, H, W)."""
        return MappedPixels(self.folder / PIXELS, (self.contents.images, *self.contents.shape))

    @contextmanager
    def filling(self) -> Iterator["Filling"]:
        """Lock the set, look again at what is there, and take the rest. LimitError where the disk has no room for it.

        Waits while another process decodes the same set.
        """
        with ExitStack() as stack:
            with explained(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                told = stack.enter_context(opened(self.folder / TOLD, os.O_RDWR | os.O_CREAT))
                while not locked(told):
                    time.sleep(_WAIT)
                self._look()
                _require_disk(self.folder, (self.contents.images - self.done) * self.contents.image_bytes)
                pixels = stack.enter_context(opened(self.folder / PIXELS, os.O_RDWR | os.O_CREAT))
                filling = Filling(self, told, pixels)
            yield filling

    def _look(self) -> None:
        """Find the blocks that are whole."""
        self.blocks = []
        if not all(os.path.lexists(self.folder / name) for name in (TOLD, PIXELS)):
            return
        with opened(self.folder / TOLD) as told, opened(self.folder / PIXELS) as pixels:
            if told.readline(LINE) != f"{self.contents.head()}\n".encode():
                return
            room = bytearray(self.contents.block * self.contents.image_bytes)
            left = self.contents.bytes
            while left and (line := told.readline(LINE)).endswith(b"\n"):
                here = memoryview(room)[: min(left, len(room))]
                try:
                    block = Block.of(line)
                except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
                    return
                if pixels.readinto(here) < len(here) or hashlib.sha256(here).hexdigest() != block.sha256:  # type: ignore[attr-defined]
                    return
                self.blocks.append(block)
                left -= len(here)


class Filling:
    """Where the images that a set lacks are put, in their order."""

    def __init__(self, cached: Cached, told: BinaryIO, pixels: BinaryIO) -> None:
        self.cached, self._told, self._pixels = cached, told, pixels
        self.done = cached.done
        lines = [f"{cached.contents.head()}\n".encode(), *(block.line() for block in cached.blocks)]
        told.seek(0)
        told.write(b"".join(lines))
        told.truncate()
        pixels.seek(cached.done * cached.contents.image_bytes)  # not cut: another process may have what is there mapped
        self._sum, self._damaged, self._lasts = hashlib.sha256(), Damaged(), True

    def room(self, count: int) -> NDArray[numpy.uint8]:
        """Where the next images are decoded into; those that cannot be are black."""
        return numpy.zeros((count, *self.cached.contents.shape), numpy.uint8)

    def keep(self, images: NDArray[numpy.uint8], damaged: Damaged, *, lasts: bool = True) -> None:
        """Take the next images, and which of them cannot be read; `lasts`: they never can.

        Where they may another time, these and all later images serve this process alone.
        """
        self._damaged += damaged
        self._lasts = self._lasts and lasts
        contents = self.cached.contents
        while len(images):
            some = images[: contents.block - self.done % contents.block]
            images = images[len(some) :]
            self._sum.update(some.data)
            self.done += len(some)
            with explained(self.cached.folder):
                self._pixels.write(some.data)
                if self.done % contents.block == 0 or self.done == contents.images:
                    self._end_block()

    def _end_block(self) -> None:
        _synced(self._pixels)
        block = Block(self._sum.hexdigest(), [each for each in self._damaged if each[0] < self.done])
        self._damaged = [each for each in self._damaged if each[0] >= self.done]
        self._sum = hashlib.sha256()
        if self._lasts:
            self._told.write(block.line())
            _synced(self._told)
        self.cached.blocks.append(block)


def checksum_of_files(files: Iterable[Path]) -> str:
    """Over the path, the size and the times of change of each file, in their order. OSError where one is missing."""
    digest = hashlib.sha256()
    for file in files:
        about = os.stat(file)
        told = [os.path.abspath(file), about.st_size, about.st_mtime_ns, about.st_ctime_ns]
        digest.update(json.dumps(told).encode() + b"\n")
    return digest.hexdigest()


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[BinaryIO]:
    """A regular file, for reading, or as `flags` say. OSError where it cannot be one, and none where it is closed: what
    could not be written has raised one before.
    """
    descriptor = os.open(path, flags | machine.BINARY | machine.NO_WAIT | machine.NO_FOLLOW, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"{path.name} is no regular file")
    file = open(descriptor, "r+b" if flags & os.O_RDWR else "rb")  # noqa: SIM115  closed below
    try:
        yield file
    finally:
        with suppress(OSError):
            file.close()


def locked(file: BinaryIO) -> bool:
    """Lock an open file, until it is closed; False where another process has it. Where files have no locks, True."""
    try:
        machine.lock(file.fileno())
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into the error that a user should see."""
    try:
        yield
    except OSError as error:
        what = f"decoded images cannot be kept in {printable(str(path))}: {printable(str(error.strerror or error))}"
        if error.errno in _FULL:
            raise LimitError(what, do="Free some disk space, or choose another `cache`") from error
        raise UsageError(what, do="Choose another `cache`") from error


def _synced(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _require_disk(folder: Path, needed: int) -> None:
    """Raise LimitError where the disk has no room for `needed` bytes more."""
    free = shutil.disk_usage(folder).free
    if needed and needed + _SPARE > free:
        raise LimitError(
            f"the decoded images take {needed >> 20:,} MiB of disk at {printable(str(folder.parent))}, and"
            f" {free >> 20:,} MiB are free",
            do="Free some, choose another `cache`, or a smaller `image_size`",
        )
