"""`memcli distill`: learn a memory of a data set."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memcli.cli._options import (
    COMPUTING,
    DATA,
    OUTPUT,
    TRAINING,
    Device,
    Download,
    Force,
    Json,
    Output,
    Quiet,
    Seed,
    Verbose,
    option,
)
from memcli.cli._output import LABELS_TOLD, emit, nested_lines, percent, size_lines
from memcli.cli._progress import duration, reporting
from memcli.cli._signals import asked_to_stop
from memcli.cli._units import seconds, size_in_bytes
from memcli.errors import DivergedError, Interrupted, UsageError

if TYPE_CHECKING:
    from memcli.data.spec import DataSpec
    from memcli.distillation.loop import Distilled
    from memcli.memory.spec import MemorySpec

SIZE = "Size"  # a panel of --help

JSON = {
    "memory": "the path of the memory file",
    "sha256": "the checksum of its tensors",
    "size": "`{floats, bytes, bits_per_class, recalled_per_class, ipc}`",
    "validation": "`{accuracy}`: of a network retrained from the file, on the validation part, a fraction of 1",
    "steps": "outer steps that were made",
    "seconds": "the time that distillation took",
    "tuned": "with --tune: a list of `{bases, scale, rows, storage, steps, accuracy}`, the chosen one first",
}


def command(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Labelled images: SCHEME:REST or a path.", show_default=False)
    ],
    *,
    output: Output,
    force: Force = False,
    json: Json = False,
    resume: Annotated[
        bool, option(OUTPUT, "--resume", help="Continue the run in the folder beside the output.")
    ] = False,
    dry_run: Annotated[
        bool, option(OUTPUT, "--dry-run", help="Show settings, size, time and memory needed; write nothing.")
    ] = False,
    download: Download = False,
    image_size: Annotated[
        int | None, option(DATA, "--image-size", metavar="N", help="Fit images to N x N, for sources that can.")
    ] = None,
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
        option(SIZE, "--scale", metavar="S", help="Store bases smaller by S; default: from the budget, 2 or 1."),
    ] = None,
    cells: Annotated[
        int,
        option(
            SIZE,
            "--cells",
            metavar="N",
            help="Store one number for each of N groups of pixels that vary alike, not for a grid; for small images.",
        ),
    ] = 0,
    rows: Annotated[
        int | None, option(SIZE, "--rows", metavar="R", help="Recalled images per class; default: all that fit.")
    ] = None,
    storage: Annotated[
        str, option(SIZE, "--storage", metavar="TYPE", help="float32, float16, int8 or int4, and learned as that.")
    ] = "float32",
    labels: Annotated[
        str, option(SIZE, "--labels", metavar="KIND", help="fixed, or learned within the budget: class or row.")
    ] = "fixed",
    tune: Annotated[
        bool, option(SIZE, "--tune", help="Choose K, S and R by short runs, in a quarter of the time or steps.")
    ] = False,
    recipe: Annotated[
        str, option(TRAINING, "--recipe", metavar="NAME", help="quick, best, gpu, paper, or a .toml file.")
    ] = "quick",
    steps: Annotated[
        int | None, option(TRAINING, "--steps", metavar="N", min=1, help="Outer steps; default: the recipe's.")
    ] = None,
    time_budget: Annotated[
        str | None, option(COMPUTING, "--time-budget", metavar="TIME", help="Stop after this time, such as 90s or 5m.")
    ] = None,
    compile: Annotated[
        bool | None,
        option(
            COMPUTING,
            "--compile/--no-compile",
            help="Compile training steps, in half a minute the first time; default: in runs of 3 minutes or more.",
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
    seed: Seed = 0,
    device: Device = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Learn a memory: a few bases and addresses that recall a training set.

    Example: memcli distill imagefolder:./shoes -o shoes.safetensors --ipc 1 --time-budget 5m
    """
    from memcli.cli._device import resolve
    from memcli.data.sources import open_source, with_whitening
    from memcli.distillation.loop import distill, estimate
    from memcli.distillation.recipe import load_recipe
    from memcli.distillation.tune import SHARE, candidates
    from memcli.distillation.tune import tune as search
    from memcli.files import atomic, memoryfile, runfolder
    from memcli.jobs.recall import preview
    from memcli.memory.spec import MemorySpec

    atomic.check_output(output, force)
    plan, place = load_recipe(recipe), resolve(device)
    limit = seconds(time_budget) if time_budget is not None else None
    with reporting(quiet=quiet, verbose=verbose) as progress:
        opened = open_source(source, download=download, image_size=image_size)
        for note in opened.notes:
            progress.note(note)
        if zca:
            opened = with_whitening(opened)
        sizes: dict[str, Any] = {"bases": bases, "scale": scale, "rows": rows}
        if tune and (cells or any(size is not None for size in sizes.values())):
            raise UsageError(
                "--tune chooses bases, scale and rows, and no cells",
                do="Leave out --bases, --scale, --cells and --rows",
            )
        fitted = partial(
            MemorySpec.from_budget, opened.spec, storage=storage, labels=labels, **_budget(opened.spec, ipc, budget)
        )
        spec = fitted(most_rows=plan.most_rows, cells=cells, **sizes)
        found_sizes: list[dict[str, Any]] = []
        if tune and resume:
            spec = MemorySpec(opened.spec, **runfolder.settings(output)["memory"])
        elif tune and not dry_run:
            trials = search(
                opened,
                candidates(opened.spec, fitted),
                plan,
                seed=seed,
                device=place,
                steps=None if steps is None else max(1, round(SHARE * steps)),
                time_budget=None if limit is None else SHARE * limit,
                progress=progress,
            )
            spec = trials[0].spec
            found_sizes = [{**one.spec.to_json(), "steps": one.steps, "accuracy": one.accuracy} for one in trials]
            for one in reversed(trials):
                size = f"{one.spec.bases} bases at scale {one.spec.scale}, {one.spec.rows} rows"
                progress.note(f"{size}: {percent(one.accuracy)} of validation after {one.steps} steps")
        if tune and limit is not None:
            limit *= 1 - SHARE
        resolved = {"recipe": plan.to_json(), "memory": spec.to_json(), "seed": seed, "data": opened.spec.to_json()}
        if dry_run:
            needed = estimate(opened, spec, plan, seed=seed, device=place, steps=steps, time_budget=limit)
            emit({**resolved, "size": spec.size(), **needed}, _plan_lines(resolved, spec, needed), as_json=json)
            return
        resolved |= {"fingerprint": opened.fingerprint, "licence": licence}
        with (
            runfolder.opened(output, resolved, resume=resume, force=force) as run,
            asked_to_stop(progress) as interrupted,
        ):
            for name in run.damaged:
                progress.note(f"{name} was damaged and is left out; an older checkpoint is continued")
            run.status("running")
            try:
                found = distill(
                    opened,
                    spec,
                    plan,
                    seed=seed,
                    device=place,
                    steps=steps,
                    time_budget=limit,
                    compile=compile,
                    bfloat16=bfloat16,
                    licence=licence,
                    progress=progress,
                    run=run,
                    interrupted=interrupted,
                )
            except Interrupted as error:
                run.status("interrupted", reason=error.what, exit_code=error.exit_code)
                raise
            except Exception as error:
                run.status("failed", reason=str(error))
                raise
            sha256 = memoryfile.write(output, found.artifact, force=force)
            preview(found.artifact.memory, run.path / "preview.png", force=True)
            run.status("failed" if found.diverged else "done", steps=found.steps, seconds=found.seconds, sha256=sha256)
    emit({**_result(output, sha256, found), "tuned": found_sizes}, _lines(output, found, source), as_json=json)
    if found.diverged:
        raise DivergedError("training diverged", do=f"The best memory before that is in {output}; lower the rates")


def _budget(data: "DataSpec", ipc: float | None, budget: str | None) -> dict[str, int]:
    """How much the memory may hold, as an argument of `MemorySpec.from_budget`: `floats` or `bytes`."""
    if ipc is not None and budget is not None:
        raise UsageError("both --ipc and --budget are given", do="Give one of them")
    if ipc is not None and not 0 < ipc <= 1_000_000:
        raise UsageError(f"--ipc is {ipc:g}", do="Give a positive number of images per class")
    image_of_each = len(data.classes) * data.floats_per_image  # numbers of one image per class
    if budget is not None:
        return {"bytes": size_in_bytes(budget, ipc=4 * image_of_each)}
    return {"floats": int((1 if ipc is None else ipc) * image_of_each)}


def _result(output: Path, sha256: str, found: "Distilled") -> dict[str, Any]:
    return {
        "memory": str(output),
        "sha256": sha256,
        "size": found.artifact.manifest.spec.size(),
        "validation": {"accuracy": found.validation},
        "steps": found.steps,
        "seconds": found.seconds,
    }


def _lines(output: Path, found: "Distilled", source: str) -> list[tuple[str, str]]:
    spec = found.artifact.manifest.spec
    return [
        ("memory", str(output)),
        *size_lines(spec.size()),
        ("validation", f"{percent(found.validation)} after retraining {found.artifact.manifest.retrain.network}"),
        ("distilled", f"{found.steps} outer steps in {duration(found.seconds)}"),
        ("next", shlex.join(["memcli", "eval", str(output), "--data", source])),
    ]


def _plan_lines(resolved: dict[str, Any], spec: "MemorySpec", needed: dict[str, float]) -> list[tuple[str, str]]:
    data = f"{resolved['data']['name']}, {'x'.join(map(str, spec.data.shape))}, {len(spec.data.classes)} classes"
    return [
        ("data", data),
        ("memory", f"{spec.bases} bases of {'x'.join(map(str, spec.base_shape))}, {spec.rows} rows, {spec.storage}"),
        ("labels", LABELS_TOLD[spec.labels]),
        *size_lines(spec.size()),
        *nested_lines("recipe", resolved["recipe"]),
        ("time", f"about {duration(needed['seconds'])}, {needed['seconds_per_step']:.2g} s a step"),
        ("working set", f"about {needed['peak_bytes'] / 2**20:,.0f} MiB"),
    ]
