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
    packed = [zlib.compress(each.data, 0) for each in lines]
    name, length = b"IDAT", len(packed[0])
    head = _SIGNATURE + _part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    sums = numpy.array([zlib.crc32(each, zlib.crc32(name)) for each in packed], ">u4")
    of_all = (numpy.frombuffer(same, numpy.uint8) for same in (head + struct.pack(">I", length) + name, _END))
    before, after = (numpy.broadcast_to(same, (count, len(same))) for same in of_all)
    content = numpy.frombuffer(b"".join(packed), numpy.uint8).reshape(count, length)
    return numpy.concatenate((before, content, sums[:, None].view(numpy.uint8), after), axis=1)


def _part(name: bytes, content: bytes) -> bytes:
    """A part of a PNG file: its length, its name, what is in it, and a checksum of both."""
    named = name + content
    return struct.pack(">I", len(content)) + named + struct.pack(">I", zlib.crc32(named))


_SIGNATURE, _END = b"\x89PNG\r\n\x1a\n", _part(b"IEND", b"")
