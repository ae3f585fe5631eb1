"""What a memory is, in plain numbers: its shape, its cost, and how a budget is spent on it. No torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from memcli.data.spec import DataSpec
from memcli.errors import UsageError
from memcli.memory.storage import (
    BYTES,
    CELLS,
    CELLS_DTYPE,
    MOST_CELLS,
    MOST_SUPPORT,
    SCALE_DTYPE,
    SCALE_SUFFIX,
    SCALED_AXIS,
    SPARSE_AXIS,
    STORAGES,
    SUPPORT,
    SUPPORT_DTYPE,
)
from memcli.text import printable

LABELS = ("fixed", "class", "row")  # the label of an image: of its query; learned for its class; for its row and class
# Images per class in numbers, from which on bases are best stored at the size of images: from the first on, or from the
# second where no more bases of half the size are wanted than this share of what spans all such images (docs/log/).
_FULL_SIZE, _LAST_HALF_SIZE, _SHARE_OF_SPAN = 3, 5, 1 / 3
# Of images with such a side and more: as many bases as are wanted at least, for which bases are halved again and again,
# but never to a side below this (docs/log/).
_LARGE, _LEAST_BASES, _LEAST_SIDE, _LARGEST_SCALE = 64, 24, 8, 8
_LARGEST_CELLED = 4096  # pixels of an image that is cut into cells: grouping them takes the square of this
_SHARE_OF_BASES = 0.4  # of the budget; RTP's CIFAR-10 choice (K = 16, s = 2 at ipc 1) spends this share on bases
_NUMBERS_A_BASIS, _ENOUGH = 8, 96  # a basis for so many numbers of an image, or 96, are the most it buys (docs/log/)
_SHARING = 40  # classes that bases grow with: what more of them bring goes to rows (docs/log/)
_SPARSE_SHARE = 1 / 3  # the same where addresses are sparse (docs/log/)


@dataclass(frozen=True)
class MemorySpec:
    """The shape and the cost of a memory: K bases of (C, H/s, W/s) and R addressing matrices of (classes, K) [RTP].

    Or K bases of (C, 1, n), one number for each of n cells: groups of pixels that have one value, wherever they lie.
    Or addresses of (R, classes, k): each image is made of k of the K bases, and a file tells which.
    """

    data: DataSpec
    bases: int  # K
    scale: int  # s: bases are stored smaller by this factor, and enlarged on recall
    rows: int  # R: images recalled per class
    storage: str = "float32"  # one of memcli.memory.storage.STORAGES
    labels: str = "fixed"  # one of LABELS
    cells: int = 0  # n: every pixel belongs to one of so many cells; 0: bases lie on the grid that `scale` makes
    support: int = 0  # k: bases that an image is made of; 0: all of them

    def __post_init__(self) -> None:
        for what, value in (("bases", self.bases), ("scale", self.scale), ("rows", self.rows)):
            if value < 1:
                raise UsageError(f"{what} is {value}", do=f"Give `{what}` 1 or more")
        if self.data.height % self.scale or self.data.width % self.scale:
            raise UsageError(
                f"scale {self.scale} does not divide {self.data.height}x{self.data.width} images",
                do="Choose a `scale` that divides both sides",
            )
        most = most_cells(self.data)
        if self.cells > 0 and not most:
            raise UsageError(
                f"images of {self.data.height}x{self.data.width} cannot be cut into cells",
                do=f"Give images of at most {_LARGEST_CELLED} pixels, or 0 cells",
            )
        if not 0 <= self.cells <= most or (self.cells and self.scale > 1):
            raise UsageError(
                f"{self.cells} cells at scale {self.scale}", do=f"Give 1 to {most} cells at scale 1, or 0 for none"
            )
        if self.support and not 1 <= self.support <= min(self.bases - 1, MOST_SUPPORT):
            raise UsageError(
                f"support is {self.support} of {self.bases} bases",
                do=f"Give a `support` of 1 to {MOST_SUPPORT} that is less than `bases`, or 0 for all bases",
            )
        for what, choice, choices in (("storage", self.storage, tuple(STORAGES)), ("labels", self.labels, LABELS)):
            if choice not in choices:
                raise UsageError(
                    f"unknown {what} {printable(choice)!r}", do=f"Choose `{what}` from {', '.join(choices)}"
                )

    @property
    def base_shape(self) -> tuple[int, int, int]:
        if self.cells:
            return self.data.channels, 1, self.cells
        return self.data.channels, self.data.height // self.scale, self.data.width // self.scale

    @property
    def layout(self) -> str:
        """What the numbers of a basis lie on, in words."""
        return f"on {self.cells} cells" if self.cells else f"at scale {self.scale}"

    @property
    def index_bits(self) -> int:
        """Bits of the number of a basis in a row's support."""
        return (self.bases - 1).bit_length()

    @property
    def scaled_axes(self) -> dict[str, int]:
        """The axis of each tensor along which its scales lie, where its storage has scales."""
        return SCALED_AXIS | ({"addresses": SPARSE_AXIS} if self.support else {})

    def enlarged(self, factor: int = 1) -> Self:
        """The spec of a memory whose bases have the size of images, averaged down by `factor`. No size in a file."""
        return replace(self, data=self.data.averaged(factor), scale=1, cells=0)

    def library(self, rows: int) -> Self:
        """The same with so many rows, and a basis for each row of each class."""
        return replace(self, bases=max(rows * len(self.data.classes), 2), rows=rows)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The learned tensors' shapes by name: bases (K, C, h, w), addresses (R, classes, K or k), and labels, if any.

        Those are (classes, classes), a label vector for each class, or (R, classes, classes), one for each image.
        """
        classes = len(self.data.classes)
        found = {"bases": (self.bases, *self.base_shape), "addresses": (self.rows, classes, self.support or self.bases)}
        if self.labels != "fixed":
            found["labels"] = (classes, classes) if self.labels == "class" else (self.rows, classes, classes)
        return found

    @property
    def payload(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """What a file holds, by name: dtype, as safetensors names it, and shape. 4-bit codes lie packed in a row."""
        kind, found = STORAGES[self.storage], {}
        for name, shape in self.shapes.items():
            found[name] = (kind.dtype, kind.payload_shape(shape))
            if kind.levels:
                found[name + SCALE_SUFFIX] = (SCALE_DTYPE, (shape[self.scaled_axes[name]],))
        if self.cells:
            found[CELLS] = (CELLS_DTYPE, (self.data.height, self.data.width))
        if self.support:
            found[SUPPORT] = (SUPPORT_DTYPE, (-(-self.index_bits * math.prod(self.shapes["addresses"]) // 8),))
        return found

    @property
    def floats(self) -> int:
        """Numbers stored, however wide; those of scales, cells of pixels, a support and the data's whitening too."""
        more = [shape for name, (_, shape) in self.payload.items() if name.endswith(SCALE_SUFFIX) or name == CELLS]
        more += [self.shapes["addresses"]] if self.support else []
        return sum(math.prod(shape) for shape in (*self.shapes.values(), *more)) + len(self.data.zca)

    @property
    def bytes(self) -> int:
        """Bytes of payload on disk, scales and all; of the header only the data's whitening is counted, as float32."""
        whitening = BYTES["F32"] * len(self.data.zca)
        return sum(BYTES[dtype] * math.prod(shape) for dtype, shape in self.payload.values()) + whitening

    @property
    def ipc(self) -> float:
        """Images per class that as many floats would hold as raw pixels."""
        return self.floats / (len(self.data.classes) * self.data.floats_per_image)

    @property
    def recalled(self) -> int:
        """Images in the whole recall: R for each class."""
        return self.rows * len(self.data.classes)

    def size(self) -> dict[str, float]:
        """The figures that stand beside every accuracy."""
        return {
            "floats": self.floats,
            "bytes": self.bytes,
            "bits_per_class": 8 * self.bytes / len(self.data.classes),
            "recalled_per_class": self.rows,
            "ipc": self.ipc,
        }

    def to_json(self) -> dict[str, Any]:
        """All but the data; without cells and support where there are none, as in the first files."""
        left_out = {"data"} | {name for name in ("cells", "support") if not getattr(self, name)}
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_out}

    @classmethod
    def from_budget(
        cls,
        data: DataSpec,
        *,
        floats: int | None = None,
        bytes: int | None = None,
        bases: int | None = None,
        scale: int | None = None,
        rows: int | None = None,
        storage: str = "float32",
        labels: str = "fixed",
        cells: int = 0,
        support: int = 0,
        most_rows: int | None = None,
    ) -> Self:
        """The memory within a budget of `floats` numbers or of `bytes` of payload: give one of them.

        K, s and R are chosen where they are not given. s is 2 for fewer numbers than 3 images per class have, or 5
        where no more bases of that size are wanted than a third of their pixels; if it divides both sides and there
        are no cells; else 1. For images of 64x64 and more it is 4 or 8 where the budget has fewer than 24 bases
        otherwise. Two fifths of the budget go to bases, for at most 96 of the images' size or an eighth of their
        numbers, and more where over about `most_rows` rows would be left, but never for more than a basis has numbers.
        Beyond 40 classes the share falls: bases, which all share, are as many as for 40. The rest buys rows. With a
        support, a third of the budget goes to bases; with one of 1, each row has a basis, at half the size if possible.
        Raises UsageError where not even one basis and one row fit.
        """
        if (floats is None) == (bytes is None):
            raise ValueError("give `floats` or `bytes`")
        unit_of_cost, budget = ("floats", floats) if bytes is None else ("bytes", bytes)
        assert budget is not None
        numbers = budget if bytes is None else 8 * budget // STORAGES.get(storage, STORAGES["float32"]).bits
        if scale is None:
            scale = 1 if cells else _scale(data, numbers, most_rows, library=support == 1)
        # One basis and one row where nothing is given; and the checks of all that is given.
        least = support + 1  # bases
        sizes = {"bases": least if bases is None else bases, "scale": scale, "rows": 1 if rows is None else rows}
        unit = cls(data, **sizes, storage=storage, labels=labels, cells=cells, support=support)

        def fits(spec: "MemorySpec") -> bool:
            return getattr(spec, unit_of_cost) <= budget

        if not fits(unit):
            raise UsageError(
                f"a budget of {budget} {unit_of_cost} is too small for {unit.bases} bases of "
                f"{'x'.join(map(str, unit.base_shape))} and {unit.rows} rows, which need {getattr(unit, unit_of_cost)}",
                do="Give a larger `ipc` or `budget`, a larger `scale`, or fewer `bases` or `rows`",
            )
        if support == 1 and bases is rows is None and fits(unit.library(1)):
            return unit.library(_largest(lambda number: fits(unit.library(number))))
        spec = unit
        if bases is None:
            spec = replace(spec, bases=_largest(lambda number: fits(replace(unit, bases=number)), least))
            if rows is None:
                spec = replace(spec, bases=min(max(_wanted_bases(unit, numbers, most_rows), least), spec.bases))
        if rows is None:
            fixed = spec
            spec = replace(spec, rows=_largest(lambda number: fits(replace(fixed, rows=number))))
        return spec


def _wanted_bases(spec: MemorySpec, numbers: int, most_rows: int | None) -> int:
    """K: as many as `_dense_bases`, or a share of the numbers, and at most the pixels of a basis."""
    per_basis, classes = math.prod(spec.base_shape), len(spec.data.classes)
    if spec.support:
        return min(round(_SPARSE_SHARE * numbers / per_basis), per_basis)
    whole = spec.scale == 1 and not spec.cells
    most = max(_ENOUGH, per_basis // _NUMBERS_A_BASIS) if whole else per_basis
    return min(_dense_bases(numbers, per_basis, classes, most_rows, most), per_basis)


def _dense_bases(numbers: int, per_basis: int, per_row: int, most_rows: int | None, most: float = math.inf) -> int:
    """K: a share of the numbers, but at most `most`; more where over `most_rows` rows, of `per_row` · K, are left."""
    by_share = min(round(_SHARE_OF_BASES * min(1.0, _SHARING / per_row) * numbers / per_basis), most)
    return max(int(by_share), numbers // (per_basis + per_row * most_rows) if most_rows else 0)


def _scale(data: DataSpec, numbers: int, most_rows: int | None, *, library: bool) -> int:
    """The factor by which bases are best smaller than images, for a budget of so many numbers.

    `library`: whether each row has a basis of its own.
    """
    even = data.height % 2 == data.width % 2 == 0 and min(data.height, data.width) >= 4
    if not (even and (library or _half_size(data, numbers, most_rows))):
        return 1
    scale, least = 2, min(data.height, data.width)
    while (
        least >= _LARGE
        and scale < _LARGEST_SCALE
        and least // (2 * scale) >= _LEAST_SIDE
        and data.height % (2 * scale) == data.width % (2 * scale) == 0
        and _dense_bases(numbers, data.floats_per_image // scale**2, len(data.classes), most_rows) < _LEAST_BASES
    ):
        scale *= 2
    return scale


def _half_size(data: DataSpec, numbers: int, most_rows: int | None) -> bool:
    """Whether a budget of so many numbers is best spent on bases of half the images' size."""
    images = numbers / (len(data.classes) * data.floats_per_image)  # of each class, as raw pixels
    pixels = data.floats_per_image // 4
    few = _dense_bases(numbers, pixels, len(data.classes), most_rows) <= _SHARE_OF_SPAN * pixels
    return images < _FULL_SIZE or (few and images < _LAST_HALF_SIZE)


def most_cells(data: DataSpec) -> int:
    """The most cells that a memory of `data` may have; 0 where its images are too large to be cut."""
    pixels = data.height * data.width
    return min(MOST_CELLS, pixels) if pixels <= _LARGEST_CELLED else 0


def _largest(fits: Callable[[int], bool], least: int = 1) -> int:
    """The largest number from `least` up that fits, where that does and all below one that fits do."""
    high = 2 * least
    while fits(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
