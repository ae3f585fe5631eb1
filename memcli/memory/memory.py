"""Addressable memories: bases shared by all classes, and the addresses that combine them into images [RTP, sec. 3].

    x_i(y) = up_s( yᵀ A_i B ),    i = 1..R

Sparse addresses are k numbers of a row A_i[c], for k of the K bases, whose other addresses are 0.

The label of x_i(y) is y itself; or, where labels are learned, yᵀ L with one matrix L (a label for each class) or yᵀ L_i
(one for each row and class), as linear in y as the image is.

[RTP] Deng, Russakovsky, "Remember the Past", NeurIPS 2022, arXiv 2206.02916.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

from memcli.errors import UsageError
from memcli.memory.quantise import rounded
from memcli.memory.spec import MemorySpec
from memcli.memory.storage import CELLS, SUPPORT


@dataclass(frozen=True, eq=False)  # tensors have no single equality
class Query:
    """What to recall: for each of n images a row of addresses and a label vector.

    A one-hot label recalls a class. Any other vector (a mixture, a soft label) is a generalised query. `Memory.targets`
    gives the labels of the recalled images: the same vectors, or the same mixtures of learned labels.
    """

    rows: Tensor  # (n,) int64, each in [0, R)
    labels: Tensor  # (n, classes) float

    @classmethod
    def of_label(cls, spec: MemorySpec, label: Tensor) -> Self:
        """All R rows for one label vector, (classes,), or for each of several, (q, classes), one after the other."""
        labels = label.reshape(-1, label.shape[-1])
        return cls(torch.arange(spec.rows).repeat(len(labels)), labels.repeat_interleave(spec.rows, 0))

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
        """The same query in parts of at most `size` images."""
        for start in range(0, len(self), size):
            yield Query(self.rows[start : start + size], self.labels[start : start + size])


def averaged_down(images: Tensor, factor: int) -> Tensor:
    """(n, C, H, W) -> (n, C, ⌈H/f⌉, ⌈W/f⌉): the means of f x f pixels, of fewer where a side ends."""
    return images if factor == 1 else torch.nn.functional.avg_pool2d(images, factor, ceil_mode=True)


@lru_cache(maxsize=32)
def _enlarge(small: int, scale: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The (small·scale, small) matrix of bilinear interpolation along one side, align_corners=False.

    A matrix, so that every derivative of it is a matrix product: exact, and deterministic on every device.
    """
    centres = ((torch.arange(small * scale, dtype=torch.float64) + 0.5) / scale - 0.5).clamp(0, small - 1)
    low = centres.floor().long().clamp(max=max(small - 2, 0))
    weight = (centres - low).unsqueeze(1)
    one_hot = torch.eye(small, dtype=torch.float64)
    matrix = one_hot[low] * (1 - weight) + one_hot[(low + 1).clamp(max=small - 1)] * weight
    return matrix.to(dtype).to(device)  # in this order: Apple's GPUs have no float64


def membership(spec: MemorySpec, cells: Tensor) -> Tensor:
    """(H·W, cells) int64, 1 where a pixel is in a cell, else 0; `cells`, (H, W), is the cell of each pixel."""
    return torch.nn.functional.one_hot(cells.flatten().long(), spec.cells)


@dataclass(frozen=True, eq=False)
class Memory:
    """A learned memory. `recall` is linear in the label, in the addresses and in the bases."""

    spec: MemorySpec
    bases: Tensor  # (K, C, h, w)
    addresses: Tensor  # (R, classes, K); sparse ones: (R, classes, k)
    labels: Tensor | None = None  # where they are learned: (classes, classes) or (R, classes, classes)
    cells: Tensor | None = None  # where bases lie on cells: the cell of each pixel, (H, W) uint8, below `spec.cells`
    support: Tensor | None = None  # of sparse addresses: the basis of each, ascending in a row, (R, classes, k) int64

    def __post_init__(self) -> None:
        if self.labels is not None and "labels" not in self.spec.shapes:
            raise UsageError("labels do not fit a memory whose labels are fixed", do="Leave them out")
        if self.cells is not None and not self.spec.cells:
            raise UsageError("cells do not fit a memory whose bases lie on a grid", do="Leave them out")
        if self.support is not None and not self.spec.support:
            raise UsageError("a support does not fit a memory whose addresses are dense", do="Leave it out")
        wanted = self.spec.shapes
        wanted |= {CELLS: (self.spec.data.height, self.spec.data.width)} if self.spec.cells else {}
        wanted |= {SUPPORT: wanted["addresses"]} if self.spec.support else {}
        for name, shape in wanted.items():
            tensor = getattr(self, name)
            actual = None if tensor is None else tuple(tensor.shape)
            if actual != shape:
                raise UsageError(
                    f"{name} of shape {actual} do not fit a memory that needs {shape}", do="Correct the shapes"
                )

    @property
    def parts(self) -> dict[str, Tensor]:
        """The tensors that are learned, by name, in the order of `spec.shapes`."""
        return {name: getattr(self, name) for name in self.spec.shapes}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name: those that are learned, and those that are not."""
        constants = {"cells": self.cells, "support": self.support}
        return self.parts | {name: tensor for name, tensor in constants.items() if tensor is not None}

    def with_parts(self, parts: Mapping[str, Tensor]) -> "Memory":
        """The same memory with other `parts`; all of them must be given."""
        return Memory(self.spec, **parts, cells=self.cells, support=self.support)

    def recall(self, query: Query) -> Tensor:
        """The normalised images of `query`, (n, C, H, W), differentiable in bases, addresses and labels."""
        rows, labels = query.rows.to(self.addresses.device), query.labels.to(self.addresses)
        coefficients = torch.einsum("nc,nck->nk", labels, self._dense(rows))  # (n, K)
        return self._combined(coefficients)

    def recall_classes(self, rows: Tensor, classes: Tensor) -> Tensor:
        """The same images for row rows[i] of class classes[i], both (n,) int64, without reading other classes."""
        rows, classes = rows.to(self.addresses.device), classes.to(self.addresses.device)
        return self._combined(self._dense((rows, classes)))

    def dense(self) -> "Memory":
        """The same images by an address for every basis, which is 0 where a row has none; differentiable in all.

        For trainings that are differentiated, whose steps know of no support. It takes R · classes · K numbers.
        """
        if self.support is None:
            return self
        return replace(self, spec=replace(self.spec, support=0), addresses=self._dense(slice(None)), support=None)

    def _dense(self, chosen: slice | Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """The addresses that `chosen` picks of (R, classes, ...), each for all K bases: (..., K)."""
        addresses = self.addresses[chosen]
        if self.support is None:
            return addresses
        empty = addresses.new_zeros(*addresses.shape[:-1], self.spec.bases)
        return empty.scatter(-1, self.support[chosen], addresses)

    def addresses_on(self, bases: Tensor, *, rows: int, classes: int) -> Tensor:
        """The addresses of the first rows and classes on the bases of those numbers, (n,): (≤rows, ≤classes, n)."""
        some = self.addresses[:rows, :classes]
        if self.support is None:
            return some[:, :, bases]
        support = self.support[:rows, :classes]
        return torch.stack([(some * (support == number)).sum(-1) for number in bases], -1)

    def _combined(self, coefficients: Tensor) -> Tensor:
        """(n, K) -> (n, C, H, W)."""
        return self._large((coefficients @ self.bases.flatten(1)).unflatten(1, self.spec.base_shape))

    def enlarged(self, factor: int = 1) -> "Memory":
        """The same images from bases of their size: enlarging is linear, so that it can come first, and only once.

        Averaged down by `factor`, as `averaged_down` does it, which is linear too. For many recalls. Differentiable in
        the bases. Its spec describes the enlarged bases, not a size in a file.
        """
        large = averaged_down(self._large(self.bases), factor)
        return replace(self, spec=self.spec.enlarged(factor), bases=large, cells=None)

    def shrunk(self, gradients: Mapping[str, Tensor], factor: int = 1) -> dict[str, Tensor]:
        """The gradients with respect to the parts, from those for the parts of `enlarged(factor).dense()`."""
        with torch.enable_grad():
            bases = self.bases.detach().requires_grad_()
            large = averaged_down(self._large(bases), factor)
            (of_bases,) = torch.autograd.grad(large, bases, gradients["bases"])
        found = {**gradients, "bases": of_bases}
        if self.support is not None:
            found["addresses"] = gradients["addresses"].gather(-1, self.support)
        return found

    def _large(self, small: Tensor) -> Tensor:
        """(n, C, h, w) -> (n, C, H, W)."""
        if self.cells is not None:  # (n, C, 1, cells): a product, for the same reasons as in `_enlarge`
            return (small.flatten(2) @ membership(self.spec, self.cells).to(small).T).unflatten(2, self.cells.shape)
        if self.spec.scale == 1:
            return small
        _, h, w = self.spec.base_shape
        tall = _enlarge(h, self.spec.scale, small.dtype, small.device)
        wide = _enlarge(w, self.spec.scale, small.dtype, small.device)
        return tall @ (small @ wide.T)

    def targets(self, query: Query) -> Tensor:
        """The labels of the images of `query`, (n, classes), differentiable in learned labels and in the query's.

        A learned label may be any vector, not only a distribution: the cross-entropy with it is -Σ label · log p.
        """
        if self.labels is None:
            return query.labels
        rows, asked = query.rows.to(self.labels.device), query.labels.to(self.labels)
        return asked @ self.labels if self.labels.dim() == 2 else torch.einsum("nc,ncd->nd", asked, self.labels[rows])

    def class_targets(self, rows: Tensor, classes: Tensor) -> Tensor:
        """The labels of the images of `recall_classes`, (n, classes), differentiable in learned labels."""
        if self.labels is None:  # compared, since `one_hot` looks at numbers, which a recording cannot
            all_classes = torch.arange(len(self.spec.data.classes), device=self.addresses.device)
            return (classes.to(all_classes.device).unsqueeze(1) == all_classes).to(self.addresses.dtype)
        rows, classes = rows.to(self.labels.device), classes.to(self.labels.device)
        return self.labels[classes] if self.labels.dim() == 2 else self.labels[rows, classes]

    def rounded(self) -> "Memory":
        """This memory as it is read from a file of its storage type: rounded, and without a gradient to this one.

        Networks are always trained on the rounded memory; the outer loop moves the one that it was rounded from.
        """
        storage, axes = self.spec.storage, self.spec.scaled_axes
        return self.with_parts({name: rounded(part, storage, axes[name]) for name, part in self.parts.items()})

    def to(self, device: torch.device) -> "Memory":
        return Memory(self.spec, **{name: tensor.to(device) for name, tensor in self.tensors.items()})
