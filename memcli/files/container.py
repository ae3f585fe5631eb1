"""The only code that reads or writes `.safetensors`: memory files, network weights, checkpoints (docs/format.md).

A file is untrusted input. Its header is read by the parser here, which is stricter than the safetensors library; its
tensors are then cut from the same bytes that were checked. Reading a header needs no torch. The manifest says what a
file holds: a JSON object that is the value of the only metadata key, `memcli`: `{"kind": "memory" | ...}`.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from memcli.errors import LimitError, MemoryFileError, UsageError
from memcli.files import atomic, identity
from memcli.files.headers import KEY, Header, canonical, checked_header, damaged
from memcli.formats import POINTER, by_first_bytes, seeming
from memcli.machine import BINARY, NO_WAIT
from memcli.memory.storage import BYTES
from memcli.text import printable

if TYPE_CHECKING:
    from torch import Tensor

FILE_BYTES, HEADER_BYTES = 2**30, 10**6  # a reader's limits where it gives none
_OURS = "Give a file that memcli wrote, such as a memory of memcli distill"
_TORCH = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "U8": "uint8", "I8": "int8"}


@dataclass(frozen=True)
class OpenFile:
    """A file whose header was checked and whose payload was not read yet."""

    header: Header
    raw_header: bytes
    file: BinaryIO
    shown: str  # its name, for messages

    def payload(self) -> bytes:
        """The bytes of all tensors. Raises MemoryFileError where the file has changed since its header was read."""
        size = self.header.file_bytes - self.header.header_bytes - 8
        self.file.seek(8 + self.header.header_bytes)
        payload = self.file.read(size)
        if len(payload) != size or os.fstat(self.file.fileno()).st_size != self.header.file_bytes:
            raise damaged("the file changed while it was read")
        return payload

    def content(self, payload: bytes) -> bytes:
        """The whole file, from the very bytes that were read."""
        return len(self.raw_header).to_bytes(8, "little") + self.raw_header + payload

    def verify(self, payload: bytes, expected: str | None = None) -> str:
        """The checksum of the file, once it was found to be that of the payload and the manifest.

        Warns where it is of an old format and covers less. Raises MemoryFileError where it does not match, or is not
        the one that was `expected`.
        """
        sha256 = identity.verify(self.header, payload)
        identity.require(sha256, expected)
        identity.warn(self.header.manifest, self.shown, expected)
        return sha256


@contextmanager
def opened(
    path: str | Path, *, kind: str | None = None, file_bytes: int = FILE_BYTES, header_bytes: int = HEADER_BYTES
) -> Iterator[OpenFile]:
    """Open `path`, check its header, and, where `kind` is given, that it is a file of that kind.

    Raises MemoryFileError for the refusals of docs/format.md in their order, and LimitError above `file_bytes`.
    Both name the file, also where the block raised them.
    """
    try:
        with _regular(path) as file:
            raw, size = _read_header(file, file_bytes, header_bytes)
            header = checked_header(raw, size)
            of_file = header.manifest.get("kind")
            if kind is not None and of_file != kind:
                raise MemoryFileError(
                    f"this is not a {kind} file, but one of kind {printable(str(of_file))!r}", do=f"Give a {kind} file"
                )
            identity.format_of(header.manifest)
            yield OpenFile(header, raw, file, printable(str(path)))
    except (MemoryFileError, LimitError) as error:
        if by_first_bytes(Path(path)) is POINTER:
            raise MemoryFileError(f"{printable(str(path))} is {POINTER.what}", do=POINTER.do) from error
        if isinstance(error, MemoryFileError) and (what := seeming(Path(path))):
            shown = printable(str(path))
            raise MemoryFileError(f"{shown} is no file of memcli, but seems to be {what}", do=_OURS) from error
        raise type(error)(f"{printable(str(path))}: {error.what}", do=error.do) from error


def read_header(path: str | Path, *, file_bytes: int = FILE_BYTES, header_bytes: int = HEADER_BYTES) -> Header:
    """The checked header of `path`; no tensor is read. Raises as `opened` does."""
    with opened(path, file_bytes=file_bytes, header_bytes=header_bytes) as file:
        return file.header


def read(
    path: str | Path, *, kind: str, file_bytes: int = FILE_BYTES, expected: str | None = None
) -> tuple[dict[str, Any], dict[str, "Tensor"]]:
    """The manifest and the tensors (on the CPU) of a file of that kind. Raises as `opened` and `OpenFile.verify` do."""
    with opened(path, kind=kind, file_bytes=file_bytes) as file:
        payload = file.payload()
        file.verify(payload, expected)
        return file.header.manifest, load(file.header, payload)


def write(path: str | Path, tensors: dict[str, "Tensor"], manifest: dict[str, Any], *, force: bool) -> str:
    """Write `dumps(tensors, manifest)` as `atomic.write_bytes` does, and return its checksum."""
    data = dumps(tensors, manifest)
    atomic.write_bytes(path, data, force=force)
    return str(_parsed(data).manifest[identity.CHECKSUM])


def write_files(
    path: str | Path, parts: dict[str, tuple[str, tuple[int, ...], BinaryIO]], manifest: dict[str, Any], *, force: bool
) -> str:
    """The same for tensors that may be larger than memory: by name a dtype, a shape, and an open file of its bytes.

    A second copy of all is made beside `path` while it is written. Returns the checksum.
    """
    raws = {name: atomic.mapped(file) for name, (_, _, file) in parts.items()}
    text, sha256 = identity.sealed(
        manifest, ((name, dtype, shape, raws[name]) for name, (dtype, shape, _) in parts.items())
    )
    header: dict[str, Any] = {"__metadata__": {KEY: text}}
    order = sorted(parts, key=lambda name: (-BYTES[parts[name][0]], name))  # the widest first: all stay aligned
    at = 0
    for name in order:
        dtype, shape, _ = parts[name]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at := at + len(raws[name])]}
    raw = canonical(header).encode()
    raw += b" " * (-len(raw) % 8)
    checked_header(raw, 8 + len(raw) + at)  # a file that no reader would accept is not written
    with atomic.new_file(path, force=force) as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for name in order:
            shutil.copyfileobj(parts[name][2], file)
    return sha256


def dumps(tensors: dict[str, "Tensor"], manifest: dict[str, Any]) -> bytes:
    """The file as bytes, the same for the same values; `manifest` is stored with format and checksum.

    Raises UsageError for a file that no reader would accept: other dtypes, an empty tensor, a header over 1 MB.
    """
    import torch
    from safetensors.torch import save

    names = {getattr(torch, torch_name): name for name, torch_name in _TORCH.items()}
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    for name, tensor in ready.items():
        if tensor.dtype not in names:
            raise UsageError(
                f"tensor {name!r} of {tensor.dtype} cannot be stored",
                do=f"Convert it to one of {', '.join(_TORCH.values())}",
            )
    parts = (
        (name, names[tensor.dtype], tuple(tensor.shape), tensor.reshape(-1).view(torch.uint8).numpy())
        for name, tensor in ready.items()
    )
    data: bytes = save(ready, {KEY: identity.sealed(manifest, parts)[0]})
    try:
        _parsed(data)
    except MemoryFileError as error:
        raise UsageError(f"no reader would accept this file: {error.what}", do="Store less, or otherwise") from error
    return data


def load(header: Header, payload: bytes) -> dict[str, "Tensor"]:
    """Every tensor of the payload by name, each in memory of its own."""
    import torch

    return {
        name: torch.frombuffer(
            bytearray(payload[entry.begin : entry.end]), dtype=getattr(torch, _TORCH[entry.dtype])
        ).reshape(entry.shape)
        for name, entry in header.tensors.items()
    }


@contextmanager
def _regular(path: str | Path) -> Iterator[BinaryIO]:
    try:
        descriptor = os.open(path, os.O_RDONLY | NO_WAIT | BINARY)  # a FIFO without a writer must not make us wait
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise MemoryFileError("this is not a regular file", do="Check the path")
            with open(descriptor, "rb", closefd=False) as file:
                yield file
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise MemoryFileError("no such file", do="Check the path") from None
    except OSError as error:
        raise MemoryFileError(f"the file cannot be read ({error.strerror})", do="Check the path") from error


def _read_header(file: BinaryIO, file_bytes: int, header_bytes: int) -> tuple[bytes, int]:
    """The bytes of the header, and the size of the file."""
    size = os.fstat(file.fileno()).st_size
    if size > file_bytes:
        raise LimitError(
            f"the file is too large: {size} bytes, where at most {file_bytes} are read",
            do="Give `trust` if you trust it",
        )
    if size < 8:
        raise damaged(f"the file is too short: {size} bytes")
    length = int.from_bytes(file.read(8), "little")
    if length > size - 8:
        raise damaged(f"its header of {length} bytes would go beyond the end of the file")
    if length > header_bytes:
        raise damaged(f"its header of {length} bytes is too long: at most {header_bytes} are read")
    return file.read(length), size


def _parsed(data: bytes) -> Header:
    """The header of a whole file in memory."""
    length = int.from_bytes(data[:8], "little")
    if length > HEADER_BYTES:
        raise damaged(f"its header of {length} bytes is too long: at most {HEADER_BYTES} are read")
    return checked_header(data[8 : 8 + length], len(data))
