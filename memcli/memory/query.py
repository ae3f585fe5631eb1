"""What people ask of a memory: texts such as `cat:0.7,dog:0.3`, and the pixels that come back."""

import difflib
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from memcli.data.whitening import unwhitened
from memcli.errors import UsageError
from memcli.memory.memory import Memory, Query
from memcli.memory.spec import MemorySpec
from memcli.text import printable


def parse_query(text: str, spec: MemorySpec) -> Tensor:
    """The label vector (classes,) that `text` asks for: `cat` (one-hot), or the mixture `cat:0.7,dog:0.3`.

    A text that is the name of a class is that class, whatever signs it holds. Weights are any finite numbers; they
    need not sum to 1. Raises UsageError for an unknown or repeated class and for a weight that is no finite number.
    """
    index = {name: position for position, name in enumerate(spec.data.classes)}
    label = torch.zeros(len(index))
    if text in index:
        label[index[text]] = 1.0
        return label
    named: set[str] = set()
    for part in text.split(","):
        name, colon, weight = part.rpartition(":")
        if not colon or part in index:
            name, weight = part, "1"
        name = name if name in index else name.strip()
        if name not in index:
            raise UsageError(f"there is no class {printable(name)!r}", do=_near_names(name, spec.data.classes))
        if name in named:
            raise UsageError(f"class {printable(name)!r} is named twice in {printable(text)!r}", do="Name it once")
        named.add(name)
        label[index[name]] = _weight(weight, text)
    return label


def _weight(text: str, query: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise UsageError(
            f"{printable(text)!r} in {printable(query)!r} is not a weight",
            do="Write CLASS, or CLASS:WEIGHT,CLASS:WEIGHT with finite weights",
        )
    return weight


def _near_names(name: str, classes: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, classes, n=3, cutoff=0.5) or list(classes[:5])
    more = " or another" if len(classes) > len(near) else ""
    return f"Ask for one of {', '.join(repr(printable(each)) for each in near)}{more}"


def pieces(spec: MemorySpec, labels: Tensor | None, rows: int, total: int, size: int) -> Iterator[Query]:
    """The first `rows` rows of each label vector of `labels` (q, classes), None: of each class, `size` at a time."""
    for start in range(0, total, size):
        number = torch.arange(start, min(start + size, total))
        which, row = number // rows, number % rows
        if labels is None:
            yield Query.of_classes(row, which, len(spec.data.classes))
        else:
            yield Query(row, labels[which])


@torch.no_grad()
def pixels(memory: Memory, query: Query) -> Tensor:
    """The images of `query` as pixels in units of [0, 1], float32 (n, C, H, W) on the CPU, not clipped."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (memory.spec.data.mean, memory.spec.data.std))
    return unwhitened(memory.recall(query).float().cpu(), memory.spec.data) * std + mean
