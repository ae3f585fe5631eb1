"""Reads back what `memcli eval --json` printed, which may come from anyone. No torch."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memcli.errors import DataError
from memcli.files.inspection import Inspection
from memcli.files.resumable import read_json
from memcli.text import printable

_LONGEST = 2**22  # bytes of a file of figures: 200 classes take 200 kB for each network


@dataclass(frozen=True)
class Measured:
    """The networks of one kind that were trained on the memory or on one baseline."""

    trained_on: str  # "memory" or a baseline's name
    network: str
    mean: float  # of the accuracies on the test images, in [0, 1]
    std: float
    n: int  # networks
    protocol: str = ""  # by which they were trained; "": it is not told


@dataclass(frozen=True)
class EvalFigures:
    """Accuracies, and for the memory's first network those of the classes, where they were printed."""

    rows: tuple[Measured, ...]
    majority: float | None = None  # the accuracy of always giving the most frequent class
    test_images: tuple[int, ...] = ()  # of each class
    per_class: tuple[float | None, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()  # [i][j]: images of class i that were taken for j

    @property
    def first(self) -> tuple[Measured, ...]:
        """The rows of the first protocol: what may be compared."""
        return tuple(row for row in self.rows if row.protocol == self.rows[0].protocol)

    @property
    def several(self) -> bool:
        """Whether there are rows of several protocols."""
        return len(self.first) < len(self.rows)


def read_figures(path: str | Path, found: Inspection) -> EvalFigures:
    """What `memcli eval FILE --json` printed for the memory file that was `found`.

    Raises DataError where the file cannot be read, holds something else, or tells of another memory.
    """
    path, do = Path(path), "Give what `memcli eval FILE --json` printed for this memory"
    shown = printable(str(path))
    try:
        if path.stat().st_size > _LONGEST:
            raise DataError(f"{shown} is too large for a file of figures", do=do)
        stored = read_json(path)
    except OSError as error:
        raise DataError(f"{shown} cannot be read: {printable(str(error.strerror))}", do=do) from error
    spec = found.manifest.spec
    try:
        if stored["size"] != spec.size():
            raise DataError(f"{shown} tells of a memory of another size", do=do)
        if stored.get("sha256", found.sha256) != found.sha256:
            raise DataError(f"{shown} tells of another memory of this size", do=do)
        return from_json(stored, len(spec.data.classes))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"{shown} holds no figures of `memcli eval`", do=do) from error


def from_json(stored: dict[str, Any], classes: int) -> EvalFigures:
    """The figures in the JSON of `memcli eval`, each checked. KeyError, TypeError or ValueError where one is none."""
    named = {"memory": stored["results"], **stored["baselines"]}
    rows = tuple(
        Measured(
            str(name),
            str(row["network"]),
            _share(stat["mean"]),
            _share(stat["std"]),
            int(stat["n"]),
            str(row.get("protocol", "")),
        )
        for name, results in named.items()
        for row in results
        for stat in (row["accuracy"],)
    )
    first = stored["results"][0] if stored["results"] else {}
    majority, per_class = stored.get("majority"), first.get("per_class") or []
    return EvalFigures(
        rows,
        None if majority is None else _share(majority),
        tuple(map(_count, _of_length(stored.get("test_images") or [], classes))),
        tuple(None if share is None else _share(share) for share in _of_length(per_class, classes)),
        tuple(
            tuple(map(_count, _of_length(line, classes))) for line in _of_length(first.get("confusion") or [], classes)
        ),
    )


def _of_length(values: Any, length: int) -> list[Any]:
    """`values`, a list of so many or of none."""
    if not isinstance(values, list) or len(values) not in (0, length):
        raise ValueError("not one value for each class")
    return values


def _share(value: Any) -> float:
    if not (math.isfinite(float(value)) and 0 <= float(value) <= 1):
        raise ValueError("not a share of 1")
    return float(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a number of images")
    return value
