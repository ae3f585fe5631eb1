"""The PNG files that other formats hold beside exact values."""

import io

from torch import Tensor

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.exporters.encoding import Encoding, to_picture


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


def png_files(images: Tensor) -> list[bytes]:
    """A PNG file for each of the images, (n, C, H, W) in units of [0, 1]: clipped to it, and rounded to 8 bits."""
    files = []
    for pixels in Encoding.clip(images.shape[1]).to_bytes(images):
        buffer = io.BytesIO()
        to_picture(pixels).save(buffer, "png")
        files.append(buffer.getvalue())
    return files
