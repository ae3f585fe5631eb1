"""What people ask of a memory: texts such as `cat:0.7,dog:0.3` or `cat..dog:8`, and the pixels that come back."""

import difflib
import math
import re
from collections.abc import Iterator

import torch
from torch import Tensor

from memcli.data.whitening import unwhitened
from memcli.errors import MemoryFileError, UsageError
from memcli.memory.memory import Memory, Query
from memcli.memory.spec import MemorySpec
from memcli.text import printable, whole_number

MOST_WEIGHT = 1e6  # of a label vector, in either direction: far beyond any use, and far below what float32 holds
STEPS, MOST_STEPS = 8, 1000  # of an interpolation
_COMPARED = 1000  # classes whose names are compared with one that is unknown
_PART = re.compile(r'\s*"(?:[^"]|"")*"[^,]*|[^,]*')  # of a mixture: up to the next comma outside of quotes
_QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?::(.*))?', re.DOTALL)  # a name in quotes, and what may follow it
_NEEDS_QUOTES = re.compile(r'^\s|\s$|[",:]|\.\.|^$')


def parse_query(text: str, spec: MemorySpec) -> Tensor:
    """The label vectors that `text` asks for, (q, classes) float32.

    `cat` is one, which is one-hot, and so is the mixture `cat:0.7,dog:0.3`; the interpolation `cat..dog:5` is five, in
    even steps from the one class to the other (STEPS where no number is given). A text that is the name of a class is
    that class, whatever signs it holds; inside of a longer text a name may stand in double quotes: `"a,b":0.7,dog:0.3`.
    Weights need not sum to 1. Raises UsageError for an unknown or repeated class, a weight that is no number of at most
    MOST_WEIGHT, or a number of steps that is not 2 to MOST_STEPS.
    """
    index = {name: number for number, name in enumerate(spec.data.classes)}
    if text in index:
        return _one_hot(index[text], index)
    ends = _ends(text, index)
    if ends is not None:
        first, last = (_one_hot(_number(name, index), index) for name in ends[:2])
        steps = whole_number(ends[2].strip(), f"the number of steps in {printable(text)!r}", least=2, most=MOST_STEPS)
        return torch.lerp(first, last, torch.linspace(0, 1, steps).unsqueeze(1))
    label, named = torch.zeros(1, len(index)), set[int]()
    for name, weight in _weighed(text, index):
        number = _number(name, index)
        if number in named:
            raise UsageError(f"class {printable(name)!r} is named twice in {printable(text)!r}", do="Name it once")
        named.add(number)
        label[0, number] = _weight(weight, text)
    return label


def checked_weights(labels: Tensor) -> Tensor:
    """`labels` as float32; UsageError where a weight is not finite, or beyond MOST_WEIGHT."""
    if not bool((labels.double().abs() <= MOST_WEIGHT).all()):
        raise UsageError(
            f"a label vector holds a weight that is not finite, or beyond {MOST_WEIGHT:g}", do="Give smaller weights"
        )
    return labels.float()


def quoted(name: str) -> str:
    """The name of a class as it may stand in a query."""
    shown = printable(name)
    return '"{}"'.format(shown.replace('"', '""')) if _NEEDS_QUOTES.search(name) else shown


def class_number(name: str, spec: MemorySpec) -> int:
    """The number of the class `name`. UsageError, with names that are near, where there is none."""
    return _number(name, {each: number for number, each in enumerate(spec.data.classes)})


def _one_hot(number: int, index: dict[str, int]) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor([number]), len(index)).float()


def _ends(text: str, index: dict[str, int]) -> tuple[str, str, str] | None:
    """The two names of an interpolation and its number of steps; None where `text` is none.

    Names may hold dots: of several places to split at, the one that gives names of classes.
    """
    if _name_and_number(text, index, "1")[0] in index:
        return None  # a class with a weight, however its name looks
    splits = []
    for dots in re.finditer(r"(?=\.\.)", text):
        name, steps = _name_and_number(text[dots.start() + 2 :], index, str(STEPS))
        splits.append((_bare(text[: dots.start()]), name, steps))
    known = [split for split in splits if split[0] in index and split[1] in index]
    return next(iter(known or ([] if "," in text else splits)), None)


def _weighed(text: str, index: dict[str, int]) -> Iterator[tuple[str, str]]:
    """The names and weights of a mixture, as they are written; "1" where there is no weight."""
    start = 0
    while True:
        part = _PART.match(text, start)
        assert part is not None, "the pattern matches nothing too"
        yield _name_and_number(part[0], index, "1")
        if part.end() >= len(text):
            return
        start = part.end() + 1


def _name_and_number(part: str, index: dict[str, int], default: str) -> tuple[str, str]:
    """`NAME` or `NAME:NUMBER`, the name out of its quotes, and the number as it is written; without one, `default`."""
    in_quotes = _QUOTED.fullmatch(part)
    if in_quotes and part.strip() not in index:
        return in_quotes[1].replace('""', '"'), default if in_quotes[2] is None else in_quotes[2]
    name, colon, number = part.rpartition(":")
    if not colon or part in index or part.strip() in index:
        name, number = part, default
    return name if name in index else name.strip(), number


def _bare(name: str) -> str:
    """A name without spaces around it, and without its quotes."""
    in_quotes = _QUOTED.fullmatch(name)
    return in_quotes[1].replace('""', '"') if in_quotes and in_quotes[2] is None else name.strip()


def _number(name: str, index: dict[str, int]) -> int:
    if name not in index:
        near = difflib.get_close_matches(name, list(index)[:_COMPARED], n=3, cutoff=0.5) or list(index)[:5]
        more = " or another" if len(index) > len(near) else ""
        names = ", ".join(repr(quoted(each)) for each in near)
        raise UsageError(f"there is no class {printable(name)!r}", do=f"Ask for one of {names}{more}")
    return index[name]


def _weight(text: str, query: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not abs(weight) <= MOST_WEIGHT:
        raise UsageError(
            f"{printable(text)!r} in {printable(query)!r} is not a weight",
            do=f"Write CLASS, or CLASS:WEIGHT,CLASS:WEIGHT with weights of at most {MOST_WEIGHT:g}",
        )
    return weight


def pieces(spec: MemorySpec, labels: Tensor | None, rows: int, total: int, size: int) -> Iterator[Query]:
    """The first `rows` rows of each label vector of `labels` (q, classes), None: of each class, `size` at a time."""
    for start in range(0, total, size):
        number = torch.arange(start, min(start + size, total))
        which, row = number // rows, number % rows
        if labels is None:
            yield Query.of_classes(row, which, len(spec.data.classes))
        else:
            yield Query(row, labels[which])


def mixed(labels: Tensor) -> bool:
    """Whether one of the label vectors, (n, classes), is more than the name of a class."""
    return not bool(((labels.count_nonzero(1) == 1) & (labels.amax(1) == 1)).all())


@torch.no_grad()
def pixels(memory: Memory, query: Query) -> Tensor:
    """The images of `query` as pixels in units of [0, 1], float32 (n, C, H, W) on the CPU, not clipped.

    Raises MemoryFileError where one is not finite.
    """
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (memory.spec.data.mean, memory.spec.data.std))
    if mixed(query.labels):
        recalled = memory.recall(query)
    else:
        recalled = memory.recall_classes(query.rows, query.labels.argmax(1))
    found = unwhitened(recalled.float().cpu(), memory.spec.data) * std + mean
    if (
        not torch.stack(found.aminmax()).isfinite().all()
    ):  # bases, addresses and a whitening may each be possible, and too large together
        raise MemoryFileError(
            "the memory recalls numbers that are not finite",
            do="Get the file again, or make it anew",
        )
    return found
