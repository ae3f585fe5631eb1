"""Opening what a job works on: memories, and data that fits them, each as an object or as the text that names it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from memcli.data.sources import Source, aligned, open_source, undivided
from memcli.data.spec import DataSpec
from memcli.data.summary import summary
from memcli.errors import UsageError
from memcli.files import identity, memoryfile
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.memoryfile import Artifact
from memcli.jobs.classnames import ClassNames, renamed
from memcli.progress import Progress, Silent
from memcli.text import printable

MemoryLike = Artifact | str | Path


def load(path: str | Path, limits: Limits = DEFAULT_LIMITS, *, expect_sha256: str | None = None) -> Artifact:
    """The memory in the file at `path`, on the CPU, after every check that the command line makes.

    `recall` and `dataset` of what is returned give its images; `spec`, `manifest` and `sha256` tell what it is.
    `expect_sha256`: the checksum that it must have, as `memcli inspect` prints it. Warns (MemoryFileWarning) of a file
    of format 1 whose checksum covers less than all.
    Raises MemoryFileError where the file is damaged or hostile, LimitError where it is over `limits`. The file is never
    executed: it holds no pickle and no code (docs/format.md).
    """
    return memoryfile.read(path, limits, expect_sha256=expect_sha256)


def loaded(
    memories: MemoryLike | Sequence[MemoryLike],
    limits: Limits = DEFAULT_LIMITS,
    expect_sha256: str | Sequence[str] = (),
) -> dict[str, Artifact]:
    """One memory or several, by the name of the file or "memory N"; each file is read once.

    `expect_sha256`: none, or the checksum of each, in their order.
    """
    several = [memories] if isinstance(memories, Artifact | str | Path) else list(memories)
    if not several:
        raise UsageError("no memory was given", do="Give a memory file, or several")
    sums = identity.of_each([expect_sha256] if isinstance(expect_sha256, str) else expect_sha256, len(several))
    found = {}
    for number, (each, expected) in enumerate(zip(several, sums, strict=True)):
        if isinstance(each, Artifact):
            identity.require(each.sha256, expected)
            found["the memory" if len(several) == 1 else f"memory {number + 1}"] = each
        else:
            found[str(each)] = load(each, limits, expect_sha256=expected)
    return found


def open_aligned(
    data: Source | str | Path,
    spec: DataSpec,
    *,
    download: bool = False,
    skip_damaged: int = 0,
    cache: str | Path | None = None,
    class_names: ClassNames | None = None,
    split: str = "test",
    whole: bool = False,
    progress: Progress | None = None,
) -> Source:
    """`data` in the shape, classes and normalisation of `spec`; what was guessed of it, and what it holds, is noted.

    `class_names`: what the memory calls classes that `data` calls otherwise (`renamed`).
    `split`: "test", or "all" for a source whose test split is all of its images. `whole`: train is read too.
    """
    if split not in ("test", "all"):
        raise UsageError(f"`split` is {printable(split)!r}", do="Choose test or all")
    source = data
    if not isinstance(source, Source):
        how: dict[str, Any] = {"download": download, "skip_damaged": skip_damaged, "cache": cache, "progress": progress}
        source = open_source(source, shape=spec.shape, fit=spec.fit, **how)
    progress = progress or Silent()
    for note in source.notes:
        progress.note(note)
    if class_names is not None:
        source = renamed(source, class_names)
    if split == "all":
        source = undivided(source)
    elif source.cut:
        progress.note("a fifth of the images is tested on: `split` all takes every image")
    found = aligned(source, spec)
    tested = found if whole else replace(found, load=found.split, splits=("test",))
    for name, value in summary(tested, seed=0, holdout=0).lines():
        progress.note(f"{name}: {value}")
    return found
