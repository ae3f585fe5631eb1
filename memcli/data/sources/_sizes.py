"""The size that images of files are given: what was asked for, or what their headers suggest."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from memcli.data.sources._images import Damage, Picture, in_threads, look, with_image
from memcli.data.sources.base import Request, Shape
from memcli.errors import DataError

_KEPT_SIDE, _DEFAULT_SIDE = 64, 32  # one size up to 64x64 is kept; else 32x32, the size most methods are compared at
_LEAST_SHARE = 0.01  # of the pixels, that a crop must remove to be worth a note
_DONE = {"crop": "cropped to the centre", "pad": "padded", "stretch": "stretched"}

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Sizes:
    """What all images are given, and what is done to them for it."""

    shape: Shape
    summary: str = ""  # the sizes that were found, and what is done; "" where they are kept
    notes: tuple[str, ...] = ()  # what was guessed, and what is lost


def choose_sizes(blocks: Iterable[Sequence[Picture]], request: Request, damage: Damage) -> Sizes:
    """The shape to decode to: what `request` asks for, or what the pictures suggest.

    One channel if all pictures are grey, else three. All of one size and at most 64x64: that size, else 32x32. Raises
    DataError where not one picture can be read; others are told to `damage`.
    """
    if request.shape is not None:
        if request.shape[0] not in (1, 3):
            raise DataError(f"image files have 1 or 3 channels, not {request.shape[0]}", do="Choose another source")
        return Sizes(request.shape)
    counts, grey = _looked_at(blocks, request, damage)
    channels = 1 if grey else 3
    only = next(iter(counts)) if len(counts) == 1 else None
    if request.image_size is not None:
        height, width = request.image_size
    elif only is not None and max(only) <= _KEPT_SIDE:
        height, width = only
    else:
        height = width = _DEFAULT_SIDE
    shape = (channels, height, width)
    if only == (height, width):
        return Sizes(shape)
    shown = f"of {_by(only)}" if only else "of several sizes"
    notes = []
    if request.image_size is None:
        notes.append(f"images {shown} are resized to {_by((height, width))}: `image_size` N chooses another size")
    removed = _removed(counts, (height, width)) if request.fit == "crop" else 0
    if removed >= _LEAST_SHARE:
        better = f", and so does `image_size` {_by(_like(only, min(height, width)))}" if only else ""
        notes.append(
            f"cropping to the centre removes {removed:.0%} of the pixels: `fit` pad or stretch keeps them{better}"
        )
    summary = f"images {shown}{_span(counts)} are resized to {_by((height, width))}, {_DONE[request.fit]}"
    return Sizes(shape, summary, tuple(notes))


def _looked_at(blocks: Iterable[Sequence[Picture]], request: Request, damage: Damage) -> tuple[Counter[Size], bool]:
    """How many images have each size, and whether all are grey: of as many images as the outcome depends on."""
    counts: Counter[Size] = Counter()
    grey = True
    for block in blocks:
        looks = in_threads(lambda index, block=block: with_image(block[index], look, damage), len(block))  # type: ignore[misc]
        counts.update(seen[0] for seen in looks if seen)
        grey = grey and all(seen[1] for seen in looks if seen)
        if not grey and (request.image_size is not None or len(counts) > 1):
            break  # no later picture can change the outcome
    if not counts:
        raise damage.error() if damage.reasons else DataError("there are no images", do="Check what the source holds")
    return counts, grey


def _removed(counts: Counter[Size], size: Size) -> float:
    """The share of all images' pixels that is lost where each is cropped to `size`, of [0, 1]."""
    kept = 0.0
    for (height, width), count in counts.items():
        wider = (width * size[0]) / (height * size[1])  # above 1: the image is wider than what is wanted
        kept += count * min(wider, 1 / wider)
    return 1 - kept / counts.total()


def _like(size: Size, side: int) -> Size:
    """`size` scaled so that its shorter side is `side`, within what can be asked for."""
    shorter = min(size)
    height, width = (min(max(round(length * side / shorter), 4), 512) for length in size)
    return height, width


def _span(counts: Counter[Size]) -> str:
    return f", {_by(min(counts))} to {_by(max(counts))}," if len(counts) > 1 else ""


def _by(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
