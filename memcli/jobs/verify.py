"""Checking a file as far as that goes: its bytes, its checksum, its signature, and, in full, all that it recalls."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy

from memcli.errors import MemoryFileError, UsageError
from memcli.files import container, identity
from memcli.files.headers import Header, damaged
from memcli.files.inspection import inspected
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.manifest import Manifest, data_spec, train_recipe
from memcli.files.signing import require_signed, signature_of
from memcli.progress import Progress, Silent
from memcli.text import printable

KINDS = ("memory", "network", "recalled", "checkpoint")
MOST_PIXEL = 1e4  # in size, in units of [0, 1]: no training gives what is beyond
_CHUNK = 256  # images in memory at a time


@dataclass(frozen=True)
class Verified:
    """A file that was checked, and found to be whole."""

    path: Path
    kind: str  # one of KINDS
    format: int
    sha256: str
    file_bytes: int
    images: int | None = None  # that were recalled, each of finite numbers in the range of pixels; None: not in full
    low: float | None = None  # the least value of all, in units of [0, 1]
    high: float | None = None
    signed: bool = False  # by the key that was given


def verify(
    path: str | Path,
    full: bool = False,
    *,
    expect_sha256: str | None = None,
    key: str | Path | None = None,
    signature: str | Path | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
) -> Verified:
    """Check a file that memcli wrote: a memory, weights of a network, a recalled set, or a checkpoint.

    Its header, manifest, numbers and checksum are checked; with `full` also all images that a memory recalls, and what
    a network answers: finite, and in the range that one expects. `expect_sha256`: the checksum that it must have.
    `key`: a public key whose `signature` (None: FILE.sig) it must have. The file is read once.

    Warns (MemoryFileWarning) of a file of format 1 whose checksum covers less than all. Raises MemoryFileError where
    anything is amiss, LimitError where the file, or what it asks for, is over `limits`, UsageError for a wrong key.
    """
    if signature is not None and key is None:
        raise UsageError("there is a signature and no key", do="Give `key`, the public key of who signed it")
    with container.opened(path, file_bytes=limits.max_file, header_bytes=limits.max_header) as file:
        header, kind = file.header, file.header.manifest.get("kind")
        if kind not in KINDS:
            raise damaged(f"memcli writes no file of kind {printable(str(kind))!r}")
        sha256, payload = _checked(file, limits, expect_sha256)
        if key is not None:
            require_signed(file.content(payload), signature or signature_of(path), key)
        number = identity.format_of(header.manifest)
        verified = Verified(Path(path), kind, number, sha256, header.file_bytes, signed=key is not None)
        if full and kind == "memory":
            images, low, high = _recalled(header, payload, limits, progress or Silent())
            verified = replace(verified, images=images, low=low, high=high)
        elif full and kind == "network":
            _asked(header, payload, limits)
    return verified


def _checked(file: container.OpenFile, limits: Limits, expected: str | None) -> tuple[str, bytes]:
    """The checksum of a file, and the bytes of its tensors, once all but their meaning was checked."""
    header = file.header
    if header.manifest["kind"] == "memory":
        found, payload = inspected(file, limits, expected)
        return found.sha256, payload
    payload = file.payload()
    for name, entry in header.tensors.items():
        if not _finite(entry.dtype, payload[entry.begin : entry.end]):
            raise damaged(f"{printable(name)} holds numbers that are not finite")
    sha256 = file.verify(payload, expected)
    if header.manifest["kind"] == "network":
        data_spec(header.manifest.get("data"))
        train_recipe(header.manifest.get("retrain"))
    return sha256, payload


def _finite(dtype: str, raw: bytes) -> bool:
    if dtype == "BF16":  # the upper half of a float32
        return bool(numpy.isfinite((numpy.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")).all())
    kind: Any = {"F32": "<f4", "F16": "<f2"}.get(dtype)
    return kind is None or bool(numpy.isfinite(numpy.frombuffer(raw, kind)).all())


def _recalled(header: Header, payload: bytes, limits: Limits, progress: Progress) -> tuple[int, float, float]:
    """How many images a memory recalls, and the least and the largest value of all. MemoryFileError where one is no
    pixel's."""
    import torch

    from memcli.files.memoryfile import memory_in
    from memcli.jobs.budget import require_computing
    from memcli.memory.cost import at_once
    from memcli.memory.query import pieces, pixels

    memory = memory_in(header, payload, Manifest.from_json(header.manifest).spec)
    spec, low, high, done = memory.spec, math.inf, -math.inf, 0
    require_computing(spec, spec.recalled, _CHUNK, limits, torch.device("cpu"))
    progress.begin("recall", spec.recalled, "images")
    for query in pieces(spec, None, spec.rows, spec.recalled, at_once(spec, _CHUNK)):
        images = pixels(memory, query)
        low, high = min(low, images.min().item()), max(high, images.max().item())
        if not memory.targets(query).isfinite().all():
            raise damaged("it recalls labels that are not finite")
        done += len(query)
        progress.update(done)
    progress.end()
    if max(-low, high) > MOST_PIXEL:
        raise MemoryFileError(
            f"its images hold values from {low:.3g} to {high:.3g}, and pixels are between 0 and 1",
            do="Do not train on it; get it again, or make it anew",
        )
    return done, low, high


def _asked(header: Header, payload: bytes, limits: Limits) -> None:
    """Raise MemoryFileError where the network cannot be built, or does not answer a grey image by finite numbers."""
    import torch

    from memcli.files.weights import built
    from memcli.jobs.budget import require_looking

    network, data = built(header.manifest, container.load(header, payload), "it")
    require_looking(network, data, 1, limits, torch.device("cpu"))
    with torch.no_grad():
        if not network(torch.zeros(1, *data.shape)).isfinite().all():
            raise damaged("its network answers by numbers that are not finite")
