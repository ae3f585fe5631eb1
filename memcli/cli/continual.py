"""`memcli continual`: learn a stream of tasks, of which only memories remain."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memcli.cli import _ranks
from memcli.cli._kinds import names
from memcli.cli._options import (
    DATA,
    OUTPUT,
    TRAINING,
    Cache,
    Download,
    Force,
    Json,
    Nproc,
    Output,
    Quiet,
    Seed,
    SkipDamaged,
    Verbose,
    option,
)
from memcli.cli._output import emit, mean_percent
from memcli.cli._progress import duration, reporting
from memcli.errors import UsageError
from memcli.jobs.figures import Stat
from memcli.stopping import stoppable

if TYPE_CHECKING:
    from memcli.continual import Figures
    from memcli.continual.run import Learned

_STORAGES = ", ".join(names("memcli.memory.storage:STORAGES"))

JSON = {
    "benchmark": "as given",
    "tasks": "how many there are",
    "ra": "`{mean, std, n}` over runs: retained accuracy, the mean over tasks after the last one, a fraction of 1",
    "la": "the same of the accuracy on each task just after it",
    "bti": "the same of ra - la: negative where tasks are forgotten",
    "joint": "the same of networks trained on the images of all tasks: the upper line",
    "random": "the same of networks trained on raw images of the same budget: the lower line",
    "matrix": "mean over runs: entry [i][j] is the accuracy on task j after task i; null where j comes later",
    "memory_floats": "numbers in all memories of one run together",
    "memory_bytes": "and their bytes",
    "output": "the folder: a folder of memories for each run, matrix.svg and curve.svg",
    "seconds": "the time that everything took",
}


def command(
    benchmark: Annotated[
        str,
        typer.Argument(
            metavar="BENCHMARK",
            help="rotations, permutations, many, cifar100, or split:SOURCE:CLASSES_PER_TASK[:classes=N,memory=N].",
            show_default=False,
        ),
    ],
    *,
    data: Annotated[
        str | None, option(DATA, "--data", metavar="SOURCE", help="The data set that the tasks are made of.")
    ] = None,
    download: Download = False,
    skip_damaged: SkipDamaged = 0,
    cache: Cache = None,
    output: Output,
    force: Force = False,
    json: Json = False,
    resume: Annotated[
        bool,
        option(
            OUTPUT,
            "--resume",
            help="Where all is finished already, tell the figures again.",
        ),
    ] = False,
    runs: Annotated[
        int,
        option(TRAINING, "--runs", min=1, max=1000, metavar="N", help="Streams, with the seeds SEED, SEED + 1, ..."),
    ] = 1,
    storage: Annotated[
        str,
        option(TRAINING, "--storage", metavar="TYPE", help=f"{_STORAGES}: more numbers, in as many bytes."),
    ] = "float32",
    network: Annotated[
        str | None, option(TRAINING, "--network", metavar="NAME", help="What to train; default: as the benchmark says.")
    ] = None,
    steps: Annotated[
        int | None,
        option(
            TRAINING,
            "--steps",
            min=1,
            metavar="N",
            help="Steps of SGD of the last network; after few tasks it may be fewer.",
        ),
    ] = None,
    nproc: Nproc = 1,
    seed: Seed = 0,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn tasks that arrive one at a time; a finished task's data is gone, and only its memory remains.

    Example: memcli continual permutations --data torchvision:MNIST -o permutations/ --runs 5 --json
    """
    from dataclasses import replace
    from functools import partial

    from memcli.continual import charts, opened, plan_for, run_stream
    from memcli.continual.folder import require_unmeasured
    from memcli.continual.run import require_streams, settings, shared_out, size
    from memcli.continual.tasks import open_stream, parsed
    from memcli.data.sources import open_source
    from memcli.data.summary import summary
    from memcli.files import atomic
    from memcli.ranks import joined

    began = time.monotonic()
    name, named = parsed(benchmark)
    if (data is None) == (named is None):
        raise UsageError("the source is given twice or not at all", do="Give --data SOURCE, or split:SOURCE:N")
    _, is_first = _ranks.start(nproc, "cpu")
    require_streams(runs, ranks := joined())  # before one of them reads and tells of it
    folders = [output / f"seed-{run_seed}" for run_seed in range(seed, seed + runs)]
    with reporting(quiet=quiet or not is_first, verbose=verbose) as progress, stoppable(progress):
        if is_first:
            require_unmeasured(folders, resume=resume, force=force)
        how: dict[str, Any] = {"download": download, "skip_damaged": skip_damaged, "cache": cache, "progress": progress}
        source = open_source(data or named or "", **how)
        for note in source.notes:
            progress.note(note)
        for title, value in summary(source, seed, holdout=0).lines():
            progress.note(f"{title}: {value}")

        def learned(number: int) -> "Learned":
            make = partial(open_stream, name, source, seed + number)
            stream = make()
            if stream.is_trivial:
                progress.note("a task of one class is told with its test images, so every answer is right: give more")
            coloured = stream.data.channels == 3
            plan = plan_for(stream.benchmark, network or stream.network, storage, photographs=coloured)
            if steps is not None:
                plan = replace(plan, retrain=replace(plan.retrain, steps=steps))
            told = settings(benchmark, stream, plan, seed + number)
            with opened(folders[number], told, resume=resume, force=force) as folder:
                figures = run_stream(make, plan, folder, seed=seed + number, progress=progress)
            progress.note(_told(seed + number, figures))
            return figures, size(folder)

        every = shared_out(runs, learned, ranks)
        for number in sorted(set(range(runs)) - set(ranks.own(runs))):
            progress.note(_told(seed + number, every[number][0]))
        if ranks.rank:
            return
        result = _result(benchmark, [figures for figures, _ in every], every[-1][1], output)
        title = f"{benchmark}, mean of {runs} runs"
        matrix: list[list[float | None]] = result["matrix"]
        lines = {
            "just after it (LA)": [row[number] for number, row in enumerate(matrix)],
            "after the last (RA)": matrix[-1],
            "joint training": [result["joint"]["mean"]] * len(matrix),
            "raw images of the budget": [result["random"]["mean"]] * len(matrix),
        }
        for file, drawn in (("matrix.svg", charts.heat_map(matrix, title)), ("curve.svg", charts.curves(lines, title))):
            atomic.write_bytes(output / file, drawn.encode(), force=True)
    result["seconds"] = time.monotonic() - began
    emit(result, _lines(result), as_json=json)


def _told(seed: int, figures: "Figures") -> str:
    return f"seed {seed}: RA {figures.ra:.4f}, BTI {figures.bti:.4f}, joint {figures.joint:.4f}"


def _result(benchmark: str, found: "list[Figures]", size: dict[str, int], output: Path) -> dict[str, Any]:
    stats = {key: Stat.of([getattr(each, key) for each in found]) for key in ("ra", "la", "bti", "joint", "random")}
    tasks = range(len(found[0].matrix))
    cells = [[[each.matrix[i][j] for each in found] for j in tasks] for i in tasks]
    return {
        "benchmark": benchmark,
        "tasks": len(tasks),
        **{key: stat.to_json() for key, stat in stats.items()},
        "matrix": [[_mean(cell) for cell in row] for row in cells],
        **{f"memory_{unit}": number for unit, number in size.items()},
        "output": str(output),
    }


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _lines(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("benchmark", f"{result['benchmark']}, {result['tasks']} tasks"),
        ("RA", mean_percent(result["ra"])),
        ("LA", mean_percent(result["la"])),
        ("BTI", mean_percent(result["bti"])),
        ("joint training", mean_percent(result["joint"])),
        ("raw images", mean_percent(result["random"])),
        ("memories", f"{result['memory_floats']:,} numbers, {result['memory_bytes']:,} bytes, in {result['output']}"),
        ("took", duration(result["seconds"])),
    ]
