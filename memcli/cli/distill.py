"""`memcli distill`: learn a memory of a data set."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memcli.cli import _ranks as ranks
from memcli.cli._array import commands
from memcli.cli._kinds import names
from memcli.cli._options import (
    COMPUTING,
    DATA,
    MESSAGES,
    OUTPUT,
    TRAINING,
    Cache,
    Device,
    Download,
    Force,
    Json,
    Nproc,
    Quiet,
    Seed,
    SkipDamaged,
    Verbose,
    is_given,
    option,
)
from memcli.cli._output import LABELS_TOLD, emit, percent, rows_told, size_lines
from memcli.cli._progress import duration, reporting
from memcli.errors import UsageError
from memcli.machine import process_began
from memcli.text import nested_lines

if TYPE_CHECKING:
    from memcli.jobs.distill import DistilledFile, Estimate

SIZE = "Size"  # a panel of --help
_STORAGES = ", ".join(names("memcli.memory.storage:STORAGES"))
_RECIPES = ", ".join((*names("memcli.distillation.recipe:RECIPES"), "or a .toml file"))
_TOLD = 0.05  # seconds that a part of the time takes at least, to be told

JSON = {
    "memory": "the path of the memory file",
    "sha256": "the checksum of the memory",
    "size": "`{floats, bytes, bits_per_class, recalled_per_class, ipc}`",
    "validation": "`{accuracy}`: of a network retrained from the file, on the validation part, a fraction of 1",
    "steps": "outer steps that were made",
    "seconds": "the time that distillation took",
    "tuned": "with --tune: a list of `{bases, scale, rows, storage, steps, accuracy}`, the chosen one first",
}

_SETTINGS = (  # those that are asked of the library by the same names
    *("download", "image_size", "fit", "skip_damaged", "cache", "zca", "ipc", "budget"),
    *("bases", "scale", "cells", "rows", "support", "storage", "labels", "tune", "recipe"),
    *("steps", "time_budget", "compile", "bfloat16", "replicas", "seed"),
)


def command(
    context: typer.Context,
    source: Annotated[
        str | None, typer.Argument(metavar="SOURCE", help="Labelled images: SCHEME:REST or a path.", show_default=False)
    ] = None,
    *,
    output: Annotated[
        Path | None, option(OUTPUT, "--output", "-o", metavar="PATH", help="Where to write; required but for --array.")
    ] = None,
    force: Force = False,
    json: Json = False,
    resume: Annotated[
        bool,
        option(
            OUTPUT,
            "--resume",
            help="Go on with the run beside the output, if any; what is not given is as it was then.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, option(OUTPUT, "--dry-run", help="Measure and show size, time and memory needed; write nothing.")
    ] = False,
    array: Annotated[
        Path | None,
        option(
            OUTPUT,
            "--array",
            metavar="FILE.toml",
            help="Print a command for each combination of the settings in FILE, to be run by a shell; do nothing else.",
        ),
    ] = None,
    download: Download = False,
    image_size: Annotated[
        str | None,
        option(
            DATA, "--image-size", metavar="SIZE", help="Fit images to N x N, or HEIGHTxWIDTH, for sources that can."
        ),
    ] = None,
    fit: Annotated[
        str,
        option(DATA, "--fit", metavar="HOW", help="How images of another size are made to fit: crop, pad or stretch."),
    ] = "crop",
    skip_damaged: SkipDamaged = 0,
    cache: Cache = None,
    zca: Annotated[
        bool,
        option(DATA, "--zca", help="Whiten images by ZCA before they are learned from; recalled pictures are not."),
    ] = False,
    licence: Annotated[
        str | None, option(DATA, "--licence", metavar="TEXT", help="The data's licence, to be told by the file.")
    ] = None,
    ipc: Annotated[
        float | None,
        option(SIZE, "--ipc", metavar="X", help="Budget in numbers: those of X images per class; default 1."),
    ] = None,
    budget: Annotated[
        str | None,
        option(
            SIZE,
            "--budget",
            metavar="SIZE",
            help="Budget in bytes of payload: 30KB, or 1ipc, the bytes of 1 image per class as float32.",
        ),
    ] = None,
    bases: Annotated[
        int | None, option(SIZE, "--bases", metavar="K", help="Bases shared by all classes; default: from the budget.")
    ] = None,
    scale: Annotated[
        int | None,
        option(SIZE, "--scale", metavar="S", help="Store bases smaller by S; default: from the budget, 1, 2, 4 or 8."),
    ] = None,
    cells: Annotated[
        int | None,
        option(
            SIZE,
            "--cells",
            metavar="N",
            help="One number for each of N groups of pixels that vary alike; 0: a grid's; default: what serves better.",
        ),
    ] = None,
    rows: Annotated[
        int | None, option(SIZE, "--rows", metavar="R", help="Recalled images per class; default: all that fit.")
    ] = None,
    support: Annotated[
        int,
        option(
            SIZE,
            "--support",
            metavar="N",
            help="Make each image of N of the bases, and store which; for 10 images per class and more. 0: of all.",
        ),
    ] = 0,
    storage: Annotated[
        str, option(SIZE, "--storage", metavar="TYPE", help=f"{_STORAGES}: learned as it is stored.")
    ] = "float32",
    labels: Annotated[
        str, option(SIZE, "--labels", metavar="KIND", help="fixed, or learned within the budget: class or row.")
    ] = "fixed",
    tune: Annotated[
        bool, option(SIZE, "--tune", help="Choose K, S and R by short runs, in a quarter of the time or steps.")
    ] = False,
    recipe: Annotated[
        str | None, option(TRAINING, "--recipe", metavar="NAME", help=f"{_RECIPES}; default: by time, quick or best.")
    ] = None,
    steps: Annotated[
        int | None, option(TRAINING, "--steps", metavar="N", min=1, help="Outer steps; default: the recipe's.")
    ] = None,
    time_budget: Annotated[
        str | None,
        option(COMPUTING, "--time-budget", metavar="TIME", help="Be done in this time, such as 90s or 5m."),
    ] = None,
    compile: Annotated[
        bool | None,
        option(
            COMPUTING,
            "--compile/--no-compile",
            help="Compile training steps, beside learning where --time-budget ends it; default: in runs of 3 minutes.",
        ),
    ] = None,
    compile_cache: Annotated[
        str | None,
        option(
            COMPUTING,
            "--compile-cache",
            metavar="FILE",
            help="Take compiled steps from FILE, and keep them there, for such machines as this. It holds code that is "
            "run: name none from a stranger.",
        ),
    ] = None,
    bfloat16: Annotated[
        bool | None,
        option(
            COMPUTING,
            "--bfloat16/--no-bfloat16",
            help="Do convolutions in bfloat16; default: in compiled runs on processors that are quicker by it.",
        ),
    ] = None,
    nproc: Nproc = 1,
    replicas: Annotated[
        int | None,
        option(
            COMPUTING,
            "--replicas",
            min=1,
            max=1024,
            metavar="N",
            help="Compute each step N times, on draws of its own, for the mean; default: once in each process.",
        ),
    ] = None,
    track: Annotated[
        str | None,
        option(MESSAGES, "--track", metavar="NAME", help="Follow the run by tensorboard, trackio or wandb too."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn a memory: a few bases and addresses that recall a training set.

    Example: memcli distill imagefolder:./shoes -o shoes.safetensors --ipc 1 --time-budget 5m
    """
    asked = locals()
    if array is not None:
        for line in commands(array, context):
            typer.echo(line)
        return
    if source is None or output is None:
        raise UsageError(f"there is no {'SOURCE' if source is None else '`output`'}", do="Give SOURCE and `output`")
    from memcli.files.atomic import check_output
    from memcli.jobs.distill import GivenUpError, distill, estimate

    device, is_first = ranks.start(nproc, device)
    with reporting(quiet=quiet or not is_first, verbose=verbose) as progress:
        given = {name: asked[name] for name in _SETTINGS if is_given(context, name)} | {"device": device}
        how: dict[str, Any] = {"resume": resume, "force": force, "licence": licence, "track": track}
        how["compile_cache"] = compile_cache
        given |= {"began": process_began(), "progress": progress}
        made, given_up = None, None
        if dry_run:
            check_output(output, force)
            plan = estimate(source, **given)
        else:
            try:
                made = distill(source, output, **how, **given)
            except GivenUpError as error:
                made, given_up = error.result, error
    if is_first:
        if made is None:
            emit(_plan_json(plan), _plan_lines(plan, verbose), as_json=json)
        else:
            emit(_result(made), _lines(made, source), as_json=json)
    if given_up is not None and is_first:  # the end of another one would end it before all is told
        raise given_up


def _result(made: "DistilledFile") -> dict[str, Any]:
    return {
        "memory": str(made.path),
        "sha256": made.sha256,
        "size": made.artifact.spec.size(),
        "validation": {"accuracy": made.validation},
        "steps": made.steps,
        "seconds": made.seconds,
        "tuned": [{**trial.spec.to_json(), "steps": trial.steps, "accuracy": trial.accuracy} for trial in made.trials],
    }


def _lines(made: "DistilledFile", source: str) -> list[tuple[str, str]]:
    return [
        ("memory", str(made.path)),
        *size_lines(made.artifact.spec.size()),
        ("validation", f"{percent(made.validation)} after retraining {made.artifact.manifest.retrain.network}"),
        ("distilled", f"{made.steps} outer steps in {duration(made.seconds)}"),
        ("next", shlex.join(["memcli", "eval", str(made.path), "--data", source])),
    ]


def _plan_json(plan: "Estimate") -> dict[str, Any]:
    needed = {"seconds": plan.seconds, "seconds_per_step": plan.seconds_per_step, "peak_bytes": plan.peak_bytes}
    images = {split: list(counts) for split, counts in plan.summary.images.items()}
    return {**plan.settings, "size": plan.spec.size(), **needed, "parts": plan.parts, "images": images}


def _plan_lines(plan: "Estimate", verbose: bool) -> list[tuple[str, str]]:
    spec, recipe = plan.spec, plan.settings["recipe"]
    labels = "" if spec.labels == "fixed" else f", labels {LABELS_TOLD[spec.labels]}"
    shape = spec.layout if spec.cells else f"of {'x'.join(map(str, spec.base_shape))}"
    parts = sorted(plan.parts.items(), key=lambda part: -part[1])
    return [
        *plan.summary.lines(),
        ("memory", f"{spec.bases} bases {shape}, {rows_told(spec)}, {spec.storage}{labels}"),
        *size_lines(spec.size()),
        ("recipe", f"{recipe['name']}{'' if verbose else '; --verbose prints it'}"),
        ("peak memory", f"about {plan.peak_bytes / 2**20:,.0f} MiB"),
        ("time", f"about {duration(plan.seconds)}, {plan.seconds_per_step:.2g} s a step"),
        ("of which", ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts if seconds >= _TOLD)),
        *(nested_lines("recipe", recipe) if verbose else ()),
    ]
