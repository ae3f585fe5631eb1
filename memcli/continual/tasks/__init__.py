"""Streams of tasks by name: `open_stream("rotations", source, seed)`. One file per family, one line each below."""

import re

from memcli.continual.tasks.base import Benchmark, Stream, Task
from memcli.data.sources.base import Source
from memcli.errors import UsageError
from memcli.registry import Registry
from memcli.text import printable

__all__ = ["BENCHMARKS", "Benchmark", "Stream", "Task", "benchmarks", "open_stream", "parsed"]

BENCHMARKS: Registry[Benchmark] = Registry(
    "benchmark",
    "memcli.benchmarks",
    {
        "rotations": "memcli.continual.tasks.rotations:BENCHMARK",
        "permutations": "memcli.continual.tasks.permutations:PERMUTATIONS",
        "many": "memcli.continual.tasks.permutations:MANY",
        "cifar100": "memcli.continual.tasks.split:CIFAR100",
        "split": "memcli.continual.tasks.split:SPLIT",
    },
    "memcli.continual.tasks.base:Benchmark",
)


def benchmarks() -> list[tuple[str, str]]:
    """For the documentation: how to write every benchmark, and what it is."""
    return [(benchmark.usage, benchmark.about) for benchmark in BENCHMARKS.working().values()]


def parsed(text: str) -> tuple[str, str | None]:
    """A benchmark and its source: `split:SOURCE:2` -> ("split:2", "SOURCE"); others name no source.

    Settings may follow: `split:SOURCE:2:classes=4` -> ("split:2:classes=4", "SOURCE").
    """
    found = re.fullmatch(r"split:(?:(?P<source>.+):)?(?P<rest>\d+(?::[a-z]+=[^:]*)?)", text, re.DOTALL)
    return (f"split:{found['rest']}", found["source"]) if found else (text, None)


def open_stream(text: str, source: Source, seed: int) -> Stream:
    """The stream that `text`, NAME or NAME:settings, makes of `source`: a function of `seed`.

    Raises UsageError for a benchmark or a setting that is unknown, DataError where the source is too small.
    """
    name, _, rest = text.partition(":")
    if name not in BENCHMARKS:
        known = ", ".join(benchmark.usage for benchmark in BENCHMARKS.working().values())
        raise UsageError(f"there is no benchmark {printable(name)!r}", do=f"Choose from {known}")
    return BENCHMARKS[name].open(rest, source, seed)
