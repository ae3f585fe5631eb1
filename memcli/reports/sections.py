"""What each section of a report shows: of very many classes, images, bases or settings the first or the largest."""

import shlex
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup
from torch import Tensor

from memcli.data.sources import Source
from memcli.data.whitening import unwhitened
from memcli.files.evalfigures import EvalFigures, Measured
from memcli.files.inspection import Inspection
from memcli.jobs.baselines.base import real_images_per_class
from memcli.memory.cost import at_once
from memcli.memory.memory import Memory, Query
from memcli.memory.query import pixels
from memcli.memory.spec import MemorySpec
from memcli.reports.charts import Mark, curve, even, labelled, powers, scatter
from memcli.reports.images import Picture, signed_map, strip
from memcli.text import nested_lines, printable

MOST_CARDS, PER_CLASS, MOST_BASES = 24, 8, 48
_MAPPED_CLASSES, _MAPPED_ROWS, _SMALL_MAPS = 100, 64, 12  # of the maps of addresses
_LISTED, _MATRIX, _CONFUSED, _FACTS = 100, 30, 10, 150  # classes in a table, and in a matrix; mistakes; settings


@dataclass(frozen=True)
class Shown:
    """A picture of some of `total` things."""

    picture: Picture
    shown: int
    total: int


@dataclass(frozen=True)
class Card:
    """One class: its recalled images, real ones where there is data, and its accuracy where it was measured."""

    name: str
    recalled: Picture
    real: Picture | None
    accuracy: float | None


def strongest(memory: Memory) -> Tensor:
    """The numbers of the bases that add most to images, the strongest first: MOST_BASES, or fewer large ones."""
    sizes = memory.addresses.abs()
    if memory.support is None:
        use = sizes.mean((0, 1))
    else:
        use = sizes.new_zeros(len(memory.bases)).index_add(0, memory.support.flatten(), sizes.flatten())
    use = use * memory.bases.flatten(1).norm(dim=1)
    return use.argsort(descending=True)[: at_once(memory.spec, MOST_BASES)]


def bases(memory: Memory) -> Shown:
    """The strongest bases, each stretched on its own."""
    chosen = strongest(memory)
    small = replace(memory.spec, bases=len(chosen), rows=1, labels="fixed", support=0)
    few = Memory(small, memory.bases[chosen], memory.addresses.new_zeros(small.shapes["addresses"]), cells=memory.cells)
    images = unwhitened(few.enlarged().bases, memory.spec.data)
    picture = strip(images, f"{len(chosen)} of {memory.spec.bases} bases", columns=12)
    return Shown(picture, len(chosen), memory.spec.bases)


@dataclass(frozen=True)
class Addressing:
    """Maps of the addresses: of all classes, and of each of some."""

    overview: Markup
    classes: int  # in the overview
    bases: int
    small: list[tuple[str, Picture]]  # by the name of the class
    rows: int  # in each of the small maps


def addressing(memory: Memory) -> Addressing:
    """How the first classes use the strongest bases: on average, and image by image."""
    chosen, names = strongest(memory), memory.spec.data.classes
    some = memory.addresses_on(chosen, rows=_MAPPED_ROWS, classes=_MAPPED_CLASSES)
    some = some * memory.bases[chosen].flatten(1).norm(dim=1)
    rows, classes, shown = some.shape
    overview = labelled(
        signed_map(some.mean(0), f"Mean address of {classes} classes, a line each, on {shown} bases"),
        [printable(name, 16) for name in names[:classes]],
    )
    small = [
        (
            printable(names[number]),
            signed_map(some[:, number], f"Addresses of {rows} images of {printable(names[number])}"),
        )
        for number in range(min(_SMALL_MAPS, classes))
    ]
    return Addressing(overview, classes, shown, small, rows)


def cards(memory: Memory, source: Source | None, measured: EvalFigures | None) -> list[Card]:
    """A card for each of the first MOST_CARDS classes."""
    found = []
    train = None if source is None else source.split("train")
    few = at_once(memory.spec, min(memory.spec.rows, PER_CLASS))
    shares = measured.per_class if measured and measured.per_class else (None,) * len(memory.spec.data.classes)
    for number, name in enumerate(printable(name) for name in memory.spec.data.classes[:MOST_CARDS]):
        query = Query.of_classes(torch.arange(few), torch.full((few,), number), len(shares))
        recalled, real = strip(pixels(memory, query), f"{few} recalled images of {name}"), None
        if train is not None:
            members = torch.nonzero(train.labels == number).flatten()[:PER_CLASS]
            real = strip(train.images[members].float() / 255, f"{len(members)} real images of {name}", stretch=False)
        found.append(Card(name, recalled, real, shares[number]))
    return found


def curves(looks: list[dict[str, float]]) -> list[tuple[str, Markup]]:
    """Accuracy on the validation part, and the loss, over the steps of the run: captions and charts."""
    begins = [late["step"] for early, late in pairwise(looks) if late.get("stage") != early.get("stage")]
    found = []
    for name, caption, percent in (
        ("validation", "Accuracy on the validation part", True),
        ("loss", "Loss of the objective", False),
    ):
        points = [
            (look["step"], look[name]) for look in looks if name in look and (not percent or 0 <= look[name] <= 1)
        ]
        if len(points) < 2:
            continue
        across = even([x for x, _ in points], "outer steps")
        up = even([y for _, y in points], "", percent=percent)
        ends = "; ".join(f"{y:.3g} at step {x:.0f}" for x, y in (points[0], points[-1]))
        found.append((caption, curve(points, across, up, f"{caption}: {ends}", begins)))
    return found


@dataclass(frozen=True)
class Accuracies:
    """What was measured, and a chart of it by size."""

    rows: list[tuple[Measured, float | None]]  # with the bytes that it was trained on, where they are known
    several: bool  # whether networks were trained by several protocols
    majority: float | None
    chart: Markup | None


def accuracies(spec: MemorySpec, source: Source | None, measured: EvalFigures) -> Accuracies:
    """The rows of a table, and a chart of the first network by the first protocol: bytes of training data against
    accuracy.
    """
    sizes = {"memory": float(spec.bytes)}
    for name, numbers in (("random", spec.floats), ("bytes", spec.bytes)):  # a byte for each pixel and channel
        sizes[name] = float(
            real_images_per_class(spec.data, numbers) * len(spec.data.classes) * spec.data.floats_per_image
        )
    if source is not None:
        sizes["full"] = float(source.split("train").images.numel())
    rows = [(row, sizes.get(row.trained_on)) for row in measured.rows]
    first = [(row, size) for row, size in rows if row in measured.first and row.network == measured.rows[0].network]
    marks = [
        Mark(_kind(row.trained_on), size, row.mean, row.std if row.n > 1 else 0.0, row.trained_on == "memory")
        for row, size in first
    ]
    if measured.majority is not None:
        marks.append(Mark("always the most frequent class", None, measured.majority))
    if not first:
        return Accuracies(rows, measured.several, measured.majority, None)
    across = powers([size for _, size in first if size], "bytes of training data")
    up = even([mark.y for mark in marks], "", percent=True)
    alt = "Accuracy by bytes of training data: " + ", ".join(f"{mark.name} {100 * mark.y:.1f} %" for mark in marks)
    return Accuracies(rows, measured.several, measured.majority, scatter(marks, across, up, alt))


def _kind(trained_on: str) -> str:
    named = {"memory": "this memory", "random": "random real images", "bytes": "real images of as many bytes"}
    return printable({**named, "full": "all real images"}.get(trained_on, trained_on), 40)


@dataclass(frozen=True)
class ByClass:
    """Accuracies of classes, the lowest first, and what is taken for what."""

    rows: list[tuple[str, int, float]]  # name, test images, accuracy
    total: int  # classes
    confused: list[tuple[str, str, float]]  # class, what it is taken for, share of its images
    names: list[str]  # of the matrix
    matrix: list[list[float]]  # shares of each class's images; empty where there are many classes


def by_class(classes: tuple[str, ...], measured: EvalFigures) -> ByClass | None:
    """The classes that the memory's first network knows worst, and its confusion matrix; None where it is not known."""
    if not measured.per_class or not measured.test_images:
        return None
    names = [printable(name, 60) for name in classes]
    known = sorted((share, number) for number, share in enumerate(measured.per_class) if share is not None)
    shares = [[count / max(sum(line), 1) for count in line] for line in measured.confusion]
    mistakes = sorted(
        (-share, label, answer)
        for label, line in enumerate(shares)
        for answer, share in enumerate(line)
        if share and label != answer
    )
    return ByClass(
        [(names[number], measured.test_images[number], share) for share, number in known[:_LISTED]],
        len(known),
        [(names[label], names[answer], -share) for share, label, answer in mistakes[:_CONFUSED]],
        names,
        shares if len(names) <= _MATRIX else [],
    )


def facts(found: Inspection) -> list[tuple[str, list[tuple[str, str]]]]:
    """Tables of all that the file tells: titles, and rows of name and value."""
    manifest = found.manifest
    stored: dict[str, Any] = manifest.to_json()
    provenance = {**manifest.provenance, "licence": manifest.provenance["licence"] or "not told"}
    told = {"Provenance": provenance, "Recipe": manifest.recipe, "Retraining": stored["retrain"]}
    told |= {"Memory": stored["memory"], "Results": manifest.results}
    tables = []
    for title, values in told.items():
        rows = [(printable(name), printable(value)) for name, value in nested_lines("", values)]
        more = [("…", f"{len(rows) - _FACTS} more")] if len(rows) > _FACTS else []
        tables.append((title, rows[:_FACTS] + more))
    return tables


def usage(path: Path, found: Inspection) -> list[tuple[str, str]]:
    """What to type to use the file: a title, and lines."""
    file, name = printable(shlex.quote(path.name)), printable(repr(path.name))
    first = printable(repr(found.manifest.spec.data.classes[0]))
    return [
        ("Train a network", f"memcli retrain {file} -o net.safetensors"),
        ("Write the training set", f"memcli recall {file} -o recalled/"),
        ("Measure it on real images", f"memcli eval {file} --data SOURCE"),
        ("From Python", f"import memcli\n\nmemory = memcli.load({name})\nimages, labels = memory.recall({first})"),
    ]
