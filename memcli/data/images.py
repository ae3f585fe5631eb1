"""Labelled images, in memory or in a file."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from memcli import machine
from memcli.data.mapped import MappedPixels
from memcli.data.spec import DataSpec
from memcli.data.whitening import whitened
from memcli.errors import DataError, LimitError

_PIECE = 1 << 24  # numbers of images that are looked at together, where all are


@dataclass(frozen=True)
class LabelledImages:
    """Images as 8-bit pixels, and their class numbers. Raises DataError where the two do not fit together."""

    images: Tensor | MappedPixels  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise DataError("images are not 8-bit pixels of shape (N, C, H, W)", do="Convert them")
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            raise DataError("labels are not one whole number per image", do="Convert them")
        if len(self.images) != len(self.labels):
            raise DataError(
                f"there are {len(self.images)} images and {len(self.labels)} labels", do="Give one label per image"
            )
        if self.images.numel() == 0:
            raise DataError("there are no images", do="Check what the source holds")

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Tensor) -> Self:
        """The images numbered `indices`, (n,) int64, in that order; those of a file stay there."""
        images = self.images
        some = images.subset(indices) if isinstance(images, MappedPixels) else images[indices]
        return type(self)(some, self.labels[indices])

    def to(self, device: torch.device) -> Self:
        """The same images and labels on `device`."""
        return type(self)(self.whole().to(device), self.labels.to(device))

    def whole(self) -> Tensor:
        """All pixels in memory, (N, C, H, W) uint8. LimitError where those of a file do not fit there."""
        if not isinstance(self.images, MappedPixels):
            return self.images
        available = machine.available_memory()
        if available is not None and self.images.numel() > available:
            raise LimitError(
                f"{len(self):,} images would all be in memory, {self.images.numel() >> 20:,} MiB, and"
                f" {available >> 20:,} MiB are free",
                do="Give fewer or smaller images",
            )
        return self.images[:]

    def pieces(self) -> Iterator[Tensor]:
        """All pixels, some images at a time, (n, C, H, W) uint8: as little of a file is in memory."""
        size = max(1, _PIECE // math.prod(self.images.shape[1:]))
        return (self.images[start : start + size] for start in range(0, len(self), size))

    def levels(self) -> Tensor:
        """How many pixels of each channel have each of the 256 levels, (C, 256) int64."""
        counts = torch.zeros(self.images.shape[1], 256, dtype=torch.int64)
        for piece in self.pieces():
            counts += torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in piece.unbind(1)])
        return counts

    def normalised(self, spec: DataSpec, indices: Tensor | None = None) -> Tensor:
        """(pixel / 255 - mean) / std of the images numbered `indices` (default all), whitened where `spec` says so.

        (n, C, H, W) float32, on the device of the images.
        """
        if tuple(self.images.shape[1:]) != spec.shape:
            raise DataError(
                f"images of shape {tuple(self.images.shape[1:])} do not fit {spec.shape}",
                do="Open the source with the shape that is needed",
            )
        chosen = self.whole() if indices is None else self.images[indices]
        mean, std = (  # (C, 1, 1)
            torch.tensor(numbers, dtype=torch.float32, device=chosen.device).view(-1, 1, 1)
            for numbers in (spec.mean, spec.std)
        )
        return whitened(chosen.float().div_(255).sub_(mean).div_(std), spec)

    def fingerprint(self, classes: tuple[str, ...]) -> str:
        """SHA-256, in hex, over the names of the classes and the shape, pixels and labels of the images."""
        head = json.dumps({"classes": classes, "shape": tuple(self.images.shape)}, sort_keys=True)
        digest = hashlib.sha256(head.encode() + b"\n")
        for piece in self.pieces():
            digest.update(piece.contiguous().numpy().data)
        digest.update(self.labels.numpy().astype("<i8").tobytes())
        return digest.hexdigest()
