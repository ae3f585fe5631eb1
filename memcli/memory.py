"""Addressable memories: bases shared by all classes, and the addresses that combine them into images [RTP, sec. 3].

    x_i(y) = up_s( yᵀ A_i B ),    i = 1..R

[RTP] Deng, Russakovsky, "Remember the Past", NeurIPS 2022, arXiv 2206.02916.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

from memcli.errors import UsageError
from memcli.spec import MemorySpec


@dataclass(frozen=True, eq=False)  # tensors have no single equality
class Query:
    """What to recall: for each of n images an addressing row and a label vector.

    A one-hot label recalls a class. Any other vector (a mixture, a soft label) is a generalised query, and its image
    carries that vector as its label.
    """

    rows: Tensor  # (n,) int64, each in [0, R)
    labels: Tensor  # (n, classes) float

    @classmethod
    def of_label(cls, spec: MemorySpec, label: Tensor) -> Self:
        """All R rows for one label vector of shape (classes,)."""
        return cls(torch.arange(spec.rows), label.expand(spec.rows, -1))

    @classmethod
    def of_classes(cls, rows: Tensor, classes: Tensor, num_classes: int) -> Self:
        """Row rows[i] of class classes[i], both (n,) int64."""
        return cls(rows, torch.nn.functional.one_hot(classes, num_classes).float())

    @classmethod
    def everything(cls, spec: MemorySpec) -> Self:
        """Every row of every class, class after class."""
        classes = torch.arange(len(spec.data.classes))
        return cls.of_classes(
            torch.arange(spec.rows).repeat(len(classes)), classes.repeat_interleave(spec.rows), len(classes)
        )

    def __len__(self) -> int:
        return len(self.rows)

    def chunks(self, size: int) -> Iterator["Query"]:
        """The same query in pieces of at most `size` images."""
        for start in range(0, len(self), size):
            yield Query(self.rows[start : start + size], self.labels[start : start + size])


@lru_cache(maxsize=32)
def _enlarge(small: int, scale: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The (small·scale, small) matrix of bilinear interpolation along one side, align_corners=False.

    As a matrix, so that every derivative of it is a matrix product: exact, and deterministic on every device.
    """
    centres = ((torch.arange(small * scale, dtype=torch.float64) + 0.5) / scale - 0.5).clamp(0, small - 1)
    low = centres.floor().long().clamp(max=max(small - 2, 0))
    weight = (centres - low).unsqueeze(1)
    one_hot = torch.eye(small, dtype=torch.float64)
    matrix = one_hot[low] * (1 - weight) + one_hot[(low + 1).clamp(max=small - 1)] * weight
    return matrix.to(dtype=dtype, device=device)


@dataclass(frozen=True, eq=False)
class Memory:
    """A learned memory. `recall` is linear in the label, in the addresses and in the bases."""

    spec: MemorySpec
    bases: Tensor  # (K, C, h, w)
    addresses: Tensor  # (R, classes, K)

    def __post_init__(self) -> None:
        for name, shape in self.spec.shapes.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise UsageError(
                    f"{name} of shape {found} do not fit a memory that needs {shape}", do="Correct the shapes"
                )

    def recall(self, query: Query) -> Tensor:
        """The normalised images of `query`, (n, C, H, W), differentiable in bases, addresses and labels."""
        rows, labels = query.rows.to(self.addresses.device), query.labels.to(self.addresses)
        coefficients = torch.einsum("nc,nck->nk", labels, self.addresses[rows])  # (n, K)
        small = (coefficients @ self.bases.flatten(1)).unflatten(1, self.spec.base_shape)  # (n, C, h, w)
        if self.spec.scale == 1:
            return small
        _, h, w = self.spec.base_shape
        tall = _enlarge(h, self.spec.scale, small.dtype, small.device)
        wide = _enlarge(w, self.spec.scale, small.dtype, small.device)
        return tall @ (small @ wide.T)

    def to(self, device: torch.device) -> "Memory":
        return Memory(self.spec, self.bases.to(device), self.addresses.to(device))
