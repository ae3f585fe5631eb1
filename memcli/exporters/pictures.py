"""The PNG files that other formats hold beside exact values."""

import struct
import zlib

import numpy
from torch import Tensor

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.exporters.encoding import Encoding


def check_channels(data: DataSpec) -> None:
    """Raise UsageError where images are neither grey nor coloured: PNG with alpha would be read back composited."""
    if data.channels not in (1, 3):
        raise UsageError(
            f"PNG holds images of 1 or 3 channels, and these have {data.channels}",
            do="Use `format` npz or `format` safetensors",
        )


def most_png_bytes(data: DataSpec) -> int:
    """The most bytes of the PNG file of an image: its lines, which noise does not let shrink, and what is around."""
    lines = data.floats_per_image + data.height
    return lines + lines // 1000 + 200


def png_files(images: Tensor) -> numpy.ndarray:
    """A PNG file for each of the images, (n, C, H, W) in units of [0, 1]: clipped to it, and rounded to 8 bits.

    (n, bytes) uint8, since all are of one length: they are not compressed. What the exact values beside them take is
    four times as much, and compressing takes ten times as long as all else.
    """
    count, channels, height, width = images.shape
    lines = numpy.zeros((count, height, 1 + width * channels), numpy.uint8)  # a line begins with 0: as it is
    lines[:, :, 1:] = Encoding.clip(channels).to_bytes(images).reshape(count, height, -1)
    kind = {1: 0, 3: 2}[channels]  # grey or RGB
    content = _stored(lines.reshape(count, -1))
    name = b"IDAT"
    head = _SIGNATURE + _part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    before = head + struct.pack(">I", content.shape[1]) + name
    sums = _as_bytes([zlib.crc32(each, zlib.crc32(name)) for each in content])
    return numpy.concatenate((_in_all(before, count), content, sums, _in_all(_END, count)), axis=1)


def _stored(rows: numpy.ndarray) -> numpy.ndarray:
    """A zlib stream for each of `rows`, (n, bytes) uint8, which holds it as it is (RFC 1951, 3.2.4): (n, more bytes).

    zlib makes the same of rows up to 65,531 bytes, and takes ten times as long, since it begins anew for each.
    """
    count, length = rows.shape
    pieces = [_in_all(_ZLIB, count)]
    for start in range(0, length, _MOST_STORED):
        piece = rows[:, start : start + _MOST_STORED]
        size, last = piece.shape[1], start + _MOST_STORED >= length
        pieces += [_in_all(struct.pack("<BHH", last, size, size ^ 0xFFFF), count), piece]
    return numpy.concatenate((*pieces, _as_bytes([zlib.adler32(row) for row in rows])), axis=1)


def _in_all(content: bytes, count: int) -> numpy.ndarray:
    """The same bytes in so many rows, (count, bytes)."""
    return numpy.broadcast_to(numpy.frombuffer(content, numpy.uint8), (count, len(content)))


def _as_bytes(sums: list[int]) -> numpy.ndarray:
    """Each checksum in four bytes, the highest first: (n, 4)."""
    return numpy.array(sums, ">u4")[:, None].view(numpy.uint8)


def _part(name: bytes, content: bytes) -> bytes:
    """A part of a PNG file: its length, its name, what is in it, and a checksum of both."""
    named = name + content
    return struct.pack(">I", len(content)) + named + struct.pack(">I", zlib.crc32(named))


_ZLIB, _MOST_STORED = b"\x78\x01", 0xFFFF  # what a zlib stream begins with; the bytes that a block holds at most
_SIGNATURE, _END = b"\x89PNG\r\n\x1a\n", _part(b"IEND", b"")
