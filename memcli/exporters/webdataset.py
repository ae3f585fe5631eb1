"""One shard of WebDataset: a tar file of samples, each a few files of one name.

    00000000.png   the picture, which clips values to [0, 1]: to look at
    00000000.npy   (C, H, W) float32, in units of [0, 1], not clipped: to train from
    00000000.cls   the number of the class that was asked for; -1 for an image of a generalised query
    00000000.json  {"class": its name, or null, "row": the addressing row, "soft_label": [a weight for each class]}

Before them `__memcli__/classes` holds the class names as a JSON list. WebDataset passes over such names, and so does
`datasets` over names without a suffix. Dates, owners and modes are constant, so that equal content gives equal bytes.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy
from numpy.lib import format as npy

from memcli.data.sources.webdataset import CLASSES
from memcli.data.spec import DataSpec
from memcli.exporters.base import MIXTURE, Exporter, RecalledChunk
from memcli.exporters.behind import write_behind
from memcli.exporters.pictures import check_channels, most_png_bytes, png_files
from memcli.files import atomic

_BLOCK = tarfile.BLOCKSIZE
_WEIGHT = 26  # characters of a number in JSON, at most
_BYTES = 1 << 24  # of samples that are made at once, about
_SIZE, _SUM = slice(124, 135), slice(148, 154)  # where the head of a file in an archive has its size and its checksum


class WebDataset(Exporter):
    """One shard of WebDataset: a tar file of PNGs, exact values and labels."""

    suffix = ".tar"

    def export(
        self,
        path: Path,
        data: DataSpec,
        chunks: Iterator[RecalledChunk],
        total: int,
        *,
        force: bool,
        memory_sha256: str = "",  # noqa: ARG002
    ) -> None:
        check_channels(data)
        digits = max(8, len(str(total - 1)))
        with atomic.new_file(path, force=force) as shard:
            classes = json.dumps(data.classes).encode()
            entry = tarfile.TarInfo(CLASSES)
            entry.size = len(classes)
            shard.write(entry.tobuf(tarfile.USTAR_FORMAT) + classes + bytes(-len(classes) % _BLOCK))
            most = max(1, _BYTES // (5 * data.floats_per_image + _WEIGHT * len(data.classes)))
            parts = (part for chunk in chunks for part in chunk.parts(most))
            write_behind(shard, _samples_of(parts, data, digits))
            shard.write(bytes(2 * _BLOCK))  # the end

    def most_bytes(self, data: DataSpec, total: int, weights: int) -> int:
        """Four files a sample, each with a header and in whole blocks."""
        del weights  # the vector is written whole
        names = [len(json.dumps(name)) for name in data.classes]
        told = max(names) + _WEIGHT * len(data.classes)
        sample = most_png_bytes(data) + 4 * data.floats_per_image + told + 9 * _BLOCK
        return total * sample + sum(names)


def _samples_of(parts: Iterator[RecalledChunk], data: DataSpec, digits: int) -> Iterator[bytes]:
    """What the archive holds of each part."""
    number = 0
    for part in parts:
        yield _samples(part, data, number, digits)
        number += len(part)


def _samples(chunk: RecalledChunk, data: DataSpec, first: int, digits: int) -> bytes:
    """The same of one part, whose samples are numbered from `first` on."""
    labels, rows = chunk.hard_labels().tolist(), chunk.rows.tolist()
    named = {number: json.dumps(data.classes[number]) for number in set(labels) - {MIXTURE}} | {MIXTURE: "null"}
    told = [
        f'{{"class": {named[label]}, "row": {row}, "soft_label": {weights}}}'.encode()
        for label, row, weights in zip(
            labels, rows, _weights(numpy.ascontiguousarray(chunk.labels.numpy())), strict=True
        )
    ]
    numbers = [str(label).encode() for label in labels]
    exact = numpy.ascontiguousarray(chunk.images.numpy(), "<f4").reshape(len(chunk), -1).view(numpy.uint8)
    fixed = {  # what takes as many blocks in all samples, in pieces that stand side by side
        "png": [png_files(chunk.images)],
        "npy": [_npy_head(tuple(chunk.images.shape[1:])), exact],
        "cls": [numpy.array(numbers)[:, None].view(numpy.uint8)],
    }
    widths = [sum(piece.shape[-1] for piece in pieces) for pieces in fixed.values()]
    lengths = [[width] * len(chunk) for width in widths[:-1]] + [list(map(len, texts)) for texts in (numbers, told)]
    heads = _heads((*fixed, "json"), first, digits, numpy.array(lengths))
    ends = numpy.cumsum([_BLOCK + width + -width % _BLOCK for width in widths]).tolist()
    before = numpy.zeros((len(chunk), ends[-1] + _BLOCK), numpy.uint8)
    for start, head, pieces in zip((0, *ends), heads, (*fixed.values(), []), strict=True):
        at = start
        for piece in (head, *pieces):
            before[:, at : at + piece.shape[-1]] = piece
            at += piece.shape[-1]
    lasts = (text + bytes(-len(text) % _BLOCK) for text in told)
    return b"".join(part for sample in zip(before, lasts, strict=True) for part in sample)


def _weights(labels: numpy.ndarray) -> list[str]:
    """Each of the label vectors, (n, classes) float32, as JSON."""
    texts: dict[bytes, str] = {}  # of vectors that differ, as few do
    for label in labels:
        if (bits := label.tobytes()) not in texts:
            texts[bits] = _told(label)
    return [texts[label.tobytes()] for label in labels]


def _told(label: numpy.ndarray) -> str:
    """One of them. Its weights, of which most are equal, are in the fewest digits that give them back."""
    bits, places = numpy.unique(label.view(numpy.int32), return_inverse=True)
    texts = [json.dumps(float(str(weight))) for weight in bits.view(numpy.float32)]
    return f"[{', '.join(texts[place] for place in places)}]"


@lru_cache(maxsize=1)
def _npy_head(shape: tuple[int, ...]) -> numpy.ndarray:
    """What stands before the numbers in the npy file of an image."""
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return numpy.frombuffer(stream.getvalue(), numpy.uint8)


def _heads(suffixes: tuple[str, ...], first: int, digits: int, lengths: numpy.ndarray) -> numpy.ndarray:
    """The blocks that stand before the files of samples that are numbered from `first` on, (files, n, 512) uint8.

    `lengths`, (files, n): of the files. A TarFile would remember every file that it writes, and takes longer for these
    blocks than all else of a sample does.
    """
    heads = _blank(suffixes, digits).repeat(lengths.shape[1], 1)
    heads[:, :, :digits] = _digits(numpy.arange(first, first + lengths.shape[1]), 10, digits)
    heads[:, :, _SIZE] = _digits(lengths, 8, 11)
    heads[:, :, _SUM] = _digits(heads.sum(-1, dtype=numpy.uint32) + ord(" "), 8, 6)  # the byte after it too
    return heads


@lru_cache(maxsize=1)
def _blank(suffixes: tuple[str, ...], digits: int) -> numpy.ndarray:
    """Such blocks without a number, a size and a checksum, whose bytes count as spaces: (files, 1, 512)."""
    entries = [tarfile.TarInfo("0" * digits + f".{suffix}") for suffix in suffixes]  # of 1970, owner 0, mode 0o644
    blocks = b"".join(entry.tobuf(tarfile.USTAR_FORMAT) for entry in entries)
    blank = numpy.frombuffer(blocks, numpy.uint8).reshape(len(suffixes), 1, _BLOCK).copy()
    blank[:, :, _SUM] = ord(" ")
    return blank


def _digits(numbers: numpy.ndarray, base: int, count: int) -> numpy.ndarray:
    """The last `count` digits of each number, as letters, along an axis behind the others."""
    return (numbers[..., None] // base ** numpy.arange(count)[::-1] % base + ord("0")).astype(numpy.uint8)


EXPORTER = WebDataset()
