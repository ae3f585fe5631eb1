"""What a trained network says of image files: the class of each, and how probable every class is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from memcli.data.images import LabelledImages
from memcli.data.sources._images import Damage, Picture, decode, empty
from memcli.data.spec import DataSpec
from memcli.errors import DataError, MemoryFileError, UsageError
from memcli.files import weights
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.jobs import budget
from memcli.jobs.device import resolve

_BATCH, _PIXELS = 64, 64 * 256 * 256  # images in memory at a time, at most, and their pixels


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image file."""

    file: str
    probabilities: dict[str, float]  # by class, the most probable first; they sum to 1

    @property
    def label(self) -> str:
        """The most probable class."""
        return next(iter(self.probabilities))


def predict(
    network: str | Path,
    images: str | Path | Sequence[str | Path],
    *,
    device: str | torch.device = "cpu",
    limits: Limits = DEFAULT_LIMITS,
    expect_sha256: str | None = None,
) -> list[Prediction]:
    """What the network whose weights `retrain` wrote to the file `network` says of image files, in their order.

    Images are read as a source of image files reads them, in the shape and normalisation that the file of weights has.
    `expect_sha256`: the checksum that this file must have.
    Raises MemoryFileError for a damaged file of weights, LimitError for one over `limits`, DataError that names
    every image that cannot be read.
    """
    files = [images] if isinstance(images, str | Path) else list(images)
    if not files:
        raise UsageError("no image was given", do="Give an image file, or several")
    predictions, damaged = predict_readable(network, files, device=device, limits=limits, expect_sha256=expect_sha256)
    if damaged:
        raise unreadable(damaged)
    return predictions


def predict_readable(
    network: str | Path,
    images: Sequence[str | Path],
    *,
    device: str | torch.device = "cpu",
    limits: Limits = DEFAULT_LIMITS,
    expect_sha256: str | None = None,
) -> tuple[list[Prediction], list[str]]:
    """The same for the images that can be read, and what is wrong with each of the others."""
    trained, data = weights.read(network, limits, expect_sha256=expect_sha256)
    place = resolve(device) if isinstance(device, str) else device
    batch = max(1, min(_BATCH, _PIXELS // (data.height * data.width)))
    budget.require_looking(trained, data, batch, limits, place)
    trained = trained.to(place)
    predictions: list[Prediction] = []
    damaged: list[str] = []
    for start in range(0, len(images), batch):
        names, pixels, wrong = _readable([str(image) for image in images[start : start + batch]], data)
        damaged += wrong
        if names:
            predictions += _predicted(trained, data, names, pixels, place)
    return predictions, damaged


def unreadable(damaged: Sequence[str]) -> DataError:
    """The error that names the images that could not be read."""
    count = "an image" if len(damaged) == 1 else f"{len(damaged)} images"
    return DataError(f"{count} cannot be used: {'; '.join(damaged)}", do="Repair them, or leave them out")


def _readable(files: list[str], data: DataSpec) -> tuple[list[str], Tensor, list[str]]:
    """The files that are images, their pixels (n, C, H, W) uint8, and what is wrong with the others."""
    if data.channels not in (1, 3):
        raise UsageError(
            f"image files have 1 or 3 channels, and the network takes {data.channels}",
            do="Use `load_network` in Python",
        )
    pixels, damage = empty(len(files), data.shape), Damage()
    good = decode([Picture(file, Path(file)) for file in files], pixels, damage, data.fit)  # (n,) bool
    names = [file for file, is_read in zip(files, good, strict=True) if is_read]
    return names, torch.from_numpy(pixels[good]), damage.lines()


@torch.no_grad()
def _predicted(
    network: nn.Module, data: DataSpec, names: list[str], pixels: Tensor, device: torch.device
) -> Iterator[Prediction]:
    images = LabelledImages(pixels, torch.zeros(len(names), dtype=torch.int64))
    logits = network(images.normalised(data).to(device)).cpu().double()
    if not logits.isfinite().all():
        raise MemoryFileError("the network gives numbers that are not finite", do="Get the file again, or make it anew")
    for name, shares in zip(names, logits.softmax(1), strict=True):
        order = shares.argsort(descending=True, stable=True).tolist()
        yield Prediction(name, {data.classes[number]: shares[number].item() for number in order})
