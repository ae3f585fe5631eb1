"""Pixels of images in a file, which are read when they are asked for: as many may be used as a disk holds."""

import math
import mmap
import os
from pathlib import Path
from typing import Self

import numpy
import torch
from torch import Tensor

from memcli.errors import DataError
from memcli.machine import BINARY
from memcli.text import printable

_AT_ONCE = 256  # images that are copied before their pages are let go: the system maps 64 KiB around each


class MappedPixels:
    """Images (N, C, H, W) of 8 bits in a file, or some of them: what is used of a Tensor of them, and no more.

    What is read is a copy, on the CPU, and its pages of the file are let go: a process that reads a whole file, piece
    by piece, holds a piece of it.
    """

    dtype, ndim, device = torch.uint8, 4, torch.device("cpu")

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        """The first images of the file at `path`. DataError where it is too short, OSError where it is none."""
        descriptor = os.open(path, os.O_RDONLY | BINARY)
        try:
            if os.fstat(descriptor).st_size < math.prod(shape):
                raise DataError(f"{printable(str(path))} is too short", do="Read the source again")
            self._map = mmap.mmap(descriptor, math.prod(shape), access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        self._whole = numpy.frombuffer(self._map, numpy.uint8).reshape(shape)
        self._rows: Tensor | None = None  # (n,) int64: those of the file that these are, in this order; None: all

    def __len__(self) -> int:
        return len(self._whole) if self._rows is None else len(self._rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        _, channels, height, width = self._whole.shape
        return len(self), channels, height, width

    def numel(self) -> int:
        return math.prod(self.shape)

    def subset(self, indices: Tensor) -> Self:
        """Those numbered `indices`, (n,) int64, in that order; none is read."""
        some = object.__new__(type(self))
        some._map, some._whole, some._rows = self._map, self._whole, self._numbers(indices)
        return some

    def __getitem__(self, chosen: Tensor | slice) -> Tensor:
        """A copy of those numbered so, (n, C, H, W) uint8."""
        apart = isinstance(chosen, Tensor) or self._rows is not None  # else they lie side by side
        rows = self._numbers(chosen).numpy()
        found = torch.empty(len(rows), *self.shape[1:], dtype=torch.uint8)
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            if apart:
                self._announce(some.tolist())
            numpy.take(self._whole, some, axis=0, out=found[start : start + len(some)].numpy())
            if hasattr(mmap, "MADV_DONTNEED"):  # else the system lets pages go when it needs room
                self._map.madvise(mmap.MADV_DONTNEED)
        return found

    def _numbers(self, chosen: Tensor | slice) -> Tensor:
        """The rows of the file that are chosen by their numbers here, or by truth values."""
        if self._rows is not None:
            return self._rows[chosen]
        if isinstance(chosen, slice):
            return torch.arange(*chosen.indices(len(self)))
        return torch.nonzero(chosen).flatten() if chosen.dtype == torch.bool else chosen

    def _announce(self, rows: list[int]) -> None:
        """Have the system read these from disk at once, and nothing beside them, which is forty times as quick."""
        if hasattr(mmap, "MADV_WILLNEED"):
            size = math.prod(self.shape[1:])
            for row in rows:
                begin = row * size // mmap.PAGESIZE * mmap.PAGESIZE
                self._map.madvise(mmap.MADV_WILLNEED, begin, (row + 1) * size - begin)
