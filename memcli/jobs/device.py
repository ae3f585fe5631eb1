"""From a text to a device that is there."""

from typing import TYPE_CHECKING

from memcli.errors import UsageError
from memcli.text import printable

if TYPE_CHECKING:
    import torch


def resolve(text: str) -> "torch.device":
    """The device named by `text`: auto (a CUDA GPU if there is one), cpu, cuda, cuda:N or mps. Raises UsageError.

    auto never means mps, Apple's GPU, which memcli is not tested on (docs/platforms.md).
    """
    import torch

    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, colon, number = text.partition(":")
    if text == "mps":
        if not torch.backends.mps.is_available():
            raise UsageError("there is no device mps, which is Apple's GPU", do="Use `device` auto")
        return torch.device(text)
    if text != "cpu" and not (kind == "cuda" and ((number.isascii() and number.isdigit()) or not colon)):
        raise UsageError(f"unknown device {printable(text)!r}", do="Choose `device` auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"there is no device {printable(text)}, but {torch.cuda.device_count()} GPUs", do="Use `device` auto"
        )
    return torch.device(text)
