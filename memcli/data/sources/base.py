"""What a source of real labelled images is: its splits, what is known of it, and how it is cut and matched."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from memcli import seeds
from memcli.data.images import LabelledImages
from memcli.data.spec import FITS, DataSpec
from memcli.data.whitening import fitted
from memcli.errors import DataError, UsageError
from memcli.progress import Progress, Silent
from memcli.text import printable

Shape = tuple[int, int, int]  # channels, height, width
SPLITS = ("train", "test")
_LEAST_STD = 1 / 255  # one grey level: a blank channel must not divide by zero
_WHITENED, _PIECE = 10_000, 1 << 22  # images that a whitening is fitted to, at most; numbers of them looked at together
_CUT_SEED = 20220603  # of the fixed fifth: a constant, so that the test split is the same whatever a run's seed is


class DamagedError(DataError):
    """More images of a data set cannot be read than may be left out."""


def listed(names: Iterable[object], most: int = 5) -> str:
    """`names` for a message: escaped, quoted, and cut after `most` of them."""
    shown = [repr(printable(str(name), 60)) for name in names]
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


@dataclass(frozen=True)
class Request:
    """What is asked of a source besides its text: leave to download, a size, and how images are read."""

    download: bool = False
    shape: Shape | None = None  # exactly this
    image_size: tuple[int, int] | None = None  # or this height and width, channels as found
    fit: str = "crop"  # how an image of another size is made to fit: one of FITS
    skip_damaged: int = 0  # go on without so many damaged images, at most
    progress: Progress = field(default_factory=Silent)  # is told how many images are read
    cache: Path | None = None  # the folder for decoded images, of sources of image files; None: where they are many

    def __post_init__(self) -> None:
        if self.image_size is not None and not all(4 <= side <= 512 for side in self.image_size):
            shown = "x".join(map(str, self.image_size))
            raise UsageError(f"image size is {shown}", do="Give `image_size` from 4 to 512, as N or HEIGHTxWIDTH")
        if self.image_size is not None and self.shape is not None:
            raise UsageError("both an image size and a shape are asked for", do="Give one of them")
        if self.fit not in FITS:
            raise UsageError(f"there is no fit {listed([self.fit])}", do=f"Choose from {', '.join(FITS)}")
        if self.skip_damaged < 0:
            raise UsageError(f"`skip_damaged` is {self.skip_damaged}", do="Give 0 or more")


def size_of(given: int | str | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of an image size as it is written: 32, "32", "32x100" or (32, 100)."""
    if isinstance(given, tuple):
        return given
    sides = str(given).lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdecimal() and len(side) < 10 for side in sides):
        raise UsageError(
            f"image size is {printable(str(given))!r}", do="Give `image_size` from 4 to 512, as N or HEIGHTxWIDTH"
        )
    return int(sides[0]), int(sides[-1])


@final
@dataclass(frozen=True, eq=False)
class Source:
    """A labelled image data set. `load` is called at most once per split, when the split is first asked for."""

    name: str
    classes: tuple[str, ...]
    shape: Shape
    load: Callable[[str], LabelledImages]
    notes: tuple[str, ...] = ()  # guesses that were made, for the user to read
    fixed_spec: DataSpec | None = None  # set by `aligned` and `with_whitening`: not this source's own statistics
    splits: tuple[str, ...] = SPLITS  # those that it has: a source that is only tested on has no train
    cut: bool = False  # whether there was no test split, so that it is a fixed fifth of all images
    fit: str = "crop"  # how images of another size are made to fit
    sizes: str = ""  # the sizes of the images that were found, and what is done to them; "" where they are kept
    left_out: Callable[[], tuple[str, ...]] = tuple  # the damaged images that were left out up to now, by name

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes):
            twice = [name for name, count in Counter(self.classes).items() if count > 1]
            raise DataError(f"two classes have the same name: {listed(twice)}", do="Rename one of them")
        for name in (self.name, *self.classes):
            try:
                name.encode()
            except UnicodeEncodeError as error:
                raise DataError(f"the name {listed([name])} is not valid UTF-8", do="Rename it") from error

    def split(self, name: str) -> LabelledImages:
        """The "train" or the "test" split, kept in memory once it is loaded.

        Raises DataError where it cannot be read, labels lie outside the classes, or a class has no training image.
        """
        if name not in SPLITS:
            raise UsageError(f"there is no split {listed([name])}", do="Ask for 'train' or 'test'")
        if name not in self.splits:
            raise DataError(
                f"{printable(self.name)} has no {name} images, only {' and '.join(self.splits)}",
                do=f"Give a source with {name} images too",
            )
        return self._train if name == "train" else self._test

    @cached_property
    def _train(self) -> LabelledImages:
        images = self._loaded("train")
        counts = torch.bincount(images.labels, minlength=len(self.classes))
        absent = [self.classes[label] for label in torch.nonzero(counts == 0).flatten().tolist()]
        if absent:
            raise DataError(
                f"there is no training image of {listed(absent)}", do="Add images of every class, or drop the class"
            )
        return images

    @cached_property
    def _test(self) -> LabelledImages:
        return self._loaded("test")

    def _loaded(self, name: str) -> LabelledImages:
        try:
            images = self.load(name)
        except OSError as error:
            raise DataError(
                f"the {name} split cannot be read: {printable(str(error))}", do="Check the files"
            ) from error
        shape = tuple(images.images.shape[1:])
        if shape != self.shape:
            raise DataError(
                f"images of the {name} split have shape {shape}, others {self.shape}", do="Give all images one shape"
            )
        low, high = int(images.labels.min()), int(images.labels.max())
        if low < 0 or high >= len(self.classes):
            raise DataError(
                f"the {name} split has label {low if low < 0 else high}, with {len(self.classes)} classes",
                do=f"Use labels 0 to {len(self.classes) - 1}",
            )
        return images

    @cached_property
    def spec(self) -> DataSpec:
        """Name, shape, class names, and mean and standard deviation per channel of the train pixels in [0, 1]."""
        if self.fixed_spec is not None:
            return self.fixed_spec
        mean, std = zip(*map(_statistics, self.split("train").levels()), strict=True)
        try:
            return DataSpec(self.name, *self.shape, self.classes, mean, std, fit=self.fit)
        except UsageError as error:  # here it is the data set that is at fault
            raise DataError(error.what, do=error.do) from error

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, over the class names and the shape, pixels and labels of the train split."""
        return self.split("train").fingerprint(self.classes)


@dataclass(frozen=True)
class SourceKind:
    """One kind of source: `open(rest, request)` makes the source of what follows the scheme and its colon.

    It raises UsageError for a wrong text, and DataError where the data is missing or cannot be used.
    """

    open: Callable[[str, Request], Source]
    help: str  # one line: how `rest` is written, and what it is
    resizes: bool = False  # whether it fits images to the size that is asked for
    looks_like: Callable[[Path], bool] = lambda _: False  # whether a bare path is likely to be of this kind


def _statistics(counts: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of the pixels of a channel in [0, 1], by how many have each level, (256,) int64.

    Exact, the same in any order, and with no floating copy of the data set.
    """
    counts = counts.double()
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = float((counts * levels).sum() / counts.sum())
    variance = float((counts * (levels - mean) ** 2).sum() / counts.sum())
    return mean, max(math.sqrt(variance), _LEAST_STD)


def _stratified(labels: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices (kept, taken), both ascending: of each class about `fraction` is taken, at least 1 and never all."""
    taken = []
    for label in labels.unique().tolist():
        members = torch.nonzero(labels == label).flatten()
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        taken.append(members[torch.randperm(len(members), generator=generator)[:count]])
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[torch.cat(taken)] = True
    if not mask.any():
        raise DataError("no class has two images, so none can be set apart", do="Add images")
    return torch.nonzero(~mask).flatten(), torch.nonzero(mask).flatten()


def fixed_fifth(labels: Tensor) -> dict[str, Tensor]:
    """Indices of the train and the test split of a data set that has no test split of its own.

    The test split is the same stratified fifth in every run.
    """
    kept, taken = _stratified(labels, 0.2, seeds.generator(_CUT_SEED, "fixed fifth"))
    return {"train": kept, "test": taken}


def holdout(
    images: LabelledImages, classes: int, seed: int, fraction: float = 0.1
) -> tuple[LabelledImages, LabelledImages]:
    """Cut `images` into (train, validation): stratified by class, every class keeping at least one training image.

    Raises DataError where a label is not in [0, classes), or no class has two images.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"a validation share of {fraction} is impossible", do="Give a share between 0 and 1")
    if int(images.labels.min()) < 0 or int(images.labels.max()) >= classes:
        raise DataError(f"there are labels outside 0 to {classes - 1}", do="Correct the labels")
    kept, taken = held_out(images.labels, seed, fraction)
    return images.subset(kept), images.subset(taken)


def held_out(labels: Tensor, seed: int, fraction: float) -> tuple[Tensor, Tensor]:
    """Indices of the images that `holdout` keeps for training, and of those that it sets apart."""
    return _stratified(labels, fraction, seeds.generator(seed, "holdout"))


def undivided(source: Source) -> Source:
    """`source` with all of its images, those of train first, as the test split, and no train split."""

    def load(_: str) -> LabelledImages:
        parts = [source.split(name) for name in source.splits]
        return LabelledImages(torch.cat([part.whole() for part in parts]), torch.cat([part.labels for part in parts]))

    return replace(source, load=load, splits=("test",), cut=False)


def with_whitening(source: Source) -> Source:
    """`source` with its images whitened by ZCA, as at most 10,000 of its training images have it."""
    train, spec = source.split("train"), source.spec
    order = torch.randperm(len(train), generator=seeds.generator(_CUT_SEED, "whitening"))[:_WHITENED]
    pieces = order.split(max(1, _PIECE // spec.floats_per_image))
    zca = fitted((train.normalised(spec, some) for some in pieces), spec)
    return replace(source, load=source.split, fixed_spec=replace(spec, zca=zca))


def aligned(source: Source, spec: DataSpec) -> Source:
    """`source` seen as the data set of `spec`: labels are mapped by class *name*, normalisation is `spec`'s.

    Raises DataError where a class is missing or unknown, or the shape differs.
    """
    if source.shape != spec.shape:
        raise DataError(
            f"the source has images of shape {source.shape} (channels, height, width), the memory {spec.shape}",
            do="Choose the data set that the memory was made from",
        )
    missing = [name for name in spec.classes if name not in set(source.classes)]
    extra = [name for name in source.classes if name not in set(spec.classes)]
    if missing or extra:
        differences = [f"lacks the classes {listed(missing)}"] * bool(missing) + [f"adds {listed(extra)}"] * bool(extra)
        raise DataError(
            f"the source {' and '.join(differences)}",
            do="Give a source with the classes of the memory, or tell by `class_names` what it calls them",
        )
    position = {name: label for label, name in enumerate(spec.classes)}
    mapped = torch.tensor([position[name] for name in source.classes])  # (classes,): own label -> the memory's

    def load(split: str) -> LabelledImages:
        own = source.split(split)
        return LabelledImages(own.images, mapped[own.labels])

    return replace(source, name=spec.name, classes=spec.classes, load=load, fixed_spec=spec)
