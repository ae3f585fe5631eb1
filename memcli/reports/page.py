"""Writes the report of a memory file: one HTML page without scripts, which asks the network for nothing."""

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from memcli.data.sources import Source
from memcli.errors import UsageError
from memcli.files import atomic, memoryfile, runfolder
from memcli.files.evalfigures import EvalFigures, from_json, read_figures
from memcli.files.inspection import Inspection
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.memoryfile import Artifact
from memcli.jobs.classnames import ClassNames
from memcli.jobs.evaluate import evaluate, to_json
from memcli.jobs.opening import open_aligned
from memcli.progress import Progress, Silent
from memcli.reports.sections import accuracies, addressing, bases, by_class, cards, curves, facts, usage
from memcli.text import printable


@dataclass(frozen=True)
class Written:
    """A report that was written."""

    path: Path
    bytes: int
    accuracy: float | None  # on the test images, of the first network that was trained on the memory, in [0, 1]


def report(
    memory: str | Path,
    output: str | Path,
    *,
    data: Source | str | Path | None = None,
    download: bool = False,
    cache: str | Path | None = None,
    class_names: ClassNames | None = None,
    figures: str | Path | None = None,
    runs: int = 3,
    baselines: str | tuple[str, ...] = ("random",),
    seed: int = 0,
    device: str | torch.device = "auto",
    force: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    expect_sha256: str | None = None,
    progress: Progress | None = None,
) -> Written:
    """Write an HTML page of what the memory file `memory` holds and how good it is, as `memcli report` does.

    `figures`: a file that `memcli eval FILE --json` was written to, whose accuracies the page shows. `data`: what
    `open_source` gives, or a text for it; its training images are shown beside the recalled ones, and without `figures`
    `runs` networks are trained on the memory and on each of the `baselines`, and measured on its test images;
    `class_names` maps its names of classes to the memory's. Where the folder of the run that made the memory is
    still beside it, its learning curves are shown.

    What is shown is bounded, so that a file from anyone makes a page of a few megabytes at most. `expect_sha256`: the
    checksum that the file must have.

    Raises UsageError for impossible requests, MemoryFileError for a damaged file, LimitError for one over `limits`,
    DataError for data or figures that do not fit it, ExistsError where `output` exists, and what `evaluate` raises.
    """
    memory, output, progress = Path(memory), Path(output), progress or Silent()
    if output.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{printable(str(output))} is no name of a page", do="Let `output` end in .html")
    atomic.check_output(output, force)
    found, artifact = memoryfile.read_inspected(memory, limits, expect_sha256)
    measured = None if figures is None else read_figures(figures, found)
    source = None
    if data is not None:
        how: dict[str, Any] = {"download": download, "cache": cache, "class_names": class_names, "progress": progress}
        source = open_aligned(data, artifact.spec.data, **how)
    if source is not None and measured is None:
        evaluated = evaluate(
            artifact,
            source,
            runs=runs,
            baselines=baselines,
            seed=seed,
            device=device,
            limits=limits,
            progress=progress,
        )
        measured = from_json(to_json(evaluated), len(artifact.classes))
    page = render(memory, found, artifact, source, measured).encode()
    atomic.write_bytes(output, page, force=force)
    reached = [row.mean for row in measured.first if row.trained_on == "memory"] if measured else []
    return Written(output, len(page), reached[0] if reached else None)


def render(
    path: Path, found: Inspection, artifact: Artifact, source: Source | None, measured: EvalFigures | None
) -> str:
    """The page as text."""
    folder = files("memcli.reports")
    style = folder.joinpath("style.css").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"plain": printable, "percent": lambda share: f"{100 * share:.1f} %", "dotted": _dotted}
    template = environment.from_string(folder.joinpath("page.html").read_text(encoding="utf-8"))
    context: dict[str, Any] = {
        "style": Markup(style),
        "style_hash": base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        "spec": artifact.spec,
        "data": artifact.spec.data,
        "file": found,
        "validation": _validation(found),
        "memory_rows": [row for row in measured.first if row.trained_on == "memory"] if measured else [],
        "facts": facts(found),
        "usage": usage(path, found),
        "bases": bases(artifact.memory),
        "addressing": addressing(artifact.memory),
        "cards": cards(artifact.memory, source, measured),
        "curves": curves(runfolder.looks(path, found.sha256)),
        "accuracies": None if measured is None else accuracies(artifact.spec, source, measured),
        "by_class": None if measured is None else by_class(artifact.classes, measured),
    }
    return template.render(context)


def _validation(found: Inspection) -> float | None:
    """The accuracy on held out training images that the file tells of, where it is one."""
    stored = found.manifest.results.get("validation")
    share = stored.get("accuracy") if isinstance(stored, dict) else None
    return share if isinstance(share, float) and 0 <= share <= 1 else None


def _dotted(name: str) -> Markup:
    """A dotted name that may be broken after each of its dots."""
    return Markup(".<wbr>").join(name.split("."))
