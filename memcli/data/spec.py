"""A data set, described in plain numbers. No torch."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from memcli.errors import UsageError

FITS = ("crop", "pad", "stretch")  # how images of another size are made to fit
MAX_SIDE, MAX_CHANNELS, MAX_CLASSES = 4096, 16, 100_000
MAX_NAME = 1000  # characters of a name
MAX_MEAN, LEAST_STD, MAX_STD = 1e3, 1e-6, 1e3  # far beyond what pixels in [0, 1] can have
_MOST_WHITENED = 1 << 24  # channels times numbers of an image: a whitening is a matrix for every frequency
LEAST_GAIN, MOST_GAIN = 1e-3, 1e3  # of the factors of a whitening: wider than those of any images, and safe to invert


@dataclass(frozen=True)
class DataSpec:
    """All that a network or a memory needs to know about a data set.

    Images are float32, (pixel / 255 - mean) / std per channel, of shape (channels, height, width); where `zca` is not
    empty, whitened after that (memcli.data.whitening).
    """

    name: str
    channels: int
    height: int
    width: int
    classes: tuple[str, ...]  # names; their order is the order of the labels
    mean: tuple[float, ...]  # per channel, of pixels in [0, 1]
    std: tuple[float, ...]
    zca: tuple[float, ...] = ()  # for each ring of frequencies a lower triangle of (channels, channels), by rows
    fit: str = "crop"  # how photographs of another size were made to fit: others must be read in the same way

    def __post_init__(self) -> None:
        for side, value, most in (
            ("channels", self.channels, MAX_CHANNELS),
            ("height", self.height, MAX_SIDE),
            ("width", self.width, MAX_SIDE),
            ("classes", len(self.classes), MAX_CLASSES),
        ):
            if not 1 <= value <= most:
                raise UsageError(f"a data set with {side} {value} cannot be used", do=f"{side} must be 1 to {most}")
        if len(set(self.classes)) != len(self.classes):
            raise UsageError("two classes have the same name", do="Rename one of them")
        for name in (self.name, *self.classes):
            if len(name) > MAX_NAME:
                raise UsageError(f"a name has {len(name)} characters", do=f"Give names of at most {MAX_NAME}")
        if not len(self.mean) == len(self.std) == self.channels:
            raise UsageError("mean and std need one number per channel", do=f"Give {self.channels} of each")
        if not all(abs(value) <= MAX_MEAN for value in self.mean) or not all(
            LEAST_STD <= value <= MAX_STD for value in self.std
        ):
            raise UsageError(
                f"mean must be within ±{MAX_MEAN:g}, and std from {LEAST_STD:g} to {MAX_STD:g}",
                do="Correct the data set's statistics",
            )
        if self.fit not in FITS:
            raise UsageError("images are made to fit in an unknown way", do=f"Choose from {', '.join(FITS)}")
        if self.zca:
            self._check_whitening()

    def require_whitenable(self) -> None:
        """Raise UsageError where a whitening of images of this shape would take too much memory."""
        if self.channels * self.floats_per_image > _MOST_WHITENED:
            raise UsageError(
                f"images of {self.channels}x{self.height}x{self.width} are too large to be whitened",
                do="Leave out `zca`, or give a smaller `image_size`",
            )

    def _check_whitening(self) -> None:
        self.require_whitenable()
        size = self.channels * (self.channels + 1) // 2  # numbers of a triangle
        if len(self.zca) != self.rings * size:
            raise UsageError(f"zca has {len(self.zca)} numbers", do=f"Give {self.rings * size}, or none")
        diagonal = [row * (row + 3) // 2 for row in range(self.channels)]
        for start in range(0, len(self.zca), size):
            triangle = self.zca[start : start + size]
            large = all(triangle[place] >= LEAST_GAIN for place in diagonal)
            if not (large and all(abs(value) <= MOST_GAIN for value in triangle)):
                raise UsageError(
                    "zca holds a whitening that cannot be undone",
                    do=f"Give numbers up to {MOST_GAIN:g}, on the diagonals from {LEAST_GAIN:g}",
                )

    @property
    def rings(self) -> int:
        """The number of rings of frequencies: lengths in whole cycles along the longer side, 0 to the longest."""
        longest = math.hypot(*((side // 2) / side for side in (self.height, self.width)))
        return math.floor(longest * max(self.height, self.width) + 0.5) + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width

    @property
    def floats_per_image(self) -> int:
        return self.channels * self.height * self.width

    def averaged(self, factor: int) -> Self:
        """The same data set with images averaged down by `factor`: normalised ones, and so not to be whitened again."""
        if factor == 1:
            return self
        return replace(self, height=-(-self.height // factor), width=-(-self.width // factor), zca=())

    def to_json(self) -> dict[str, Any]:
        """Without `zca` where images are not whitened and `fit` where they are cropped, as in the first files."""
        usual = {"zca": (), "fit": "crop"}
        return {name: value for name, value in asdict(self).items() if name not in usual or value != usual[name]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        sequences = {key: tuple(value) for key, value in data.items() if isinstance(value, list | tuple)}
        return cls(**{**data, **sequences})
