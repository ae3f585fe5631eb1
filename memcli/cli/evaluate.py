"""`memcli eval`: how good a memory is, against real test data."""

import time
from typing import Annotated

from memcli.cli._options import (
    DATA,
    MAX_IMAGES,
    MAX_RECALL,
    OTHER_FAMILY,
    OUTPUT,
    TRAINING,
    Device,
    Download,
    Json,
    MaxImages,
    MaxRecall,
    MemoryFile,
    Quiet,
    Seed,
    SkipDamaged,
    Split,
    Verbose,
    limits,
    option,
)
from memcli.cli._output import emit, mean_percent, size_lines
from memcli.cli._progress import duration, reporting

JSON = {
    "memory": "the path of the memory file",
    "data": "the source as given",
    "results": "a list of `{network, accuracy: {mean, std, n}, steps, lr}`: accuracies as fractions of 1, and how long "
    "and at which rate it was trained; the rate is halved where a training diverges",
    "baselines": "by name (random, bytes, full), where asked for: a list as in results",
    "size": "`{floats, bytes, bits_per_class, recalled_per_class, ipc}`",
    "seconds": "the time that everything took",
}


def command(
    file: MemoryFile,
    *,
    data: Annotated[str, option(DATA, "--data", metavar="SOURCE", help="The data set whose test split is used.")],
    download: Download = False,
    split: Split = "test",
    skip_damaged: SkipDamaged = 0,
    network: Annotated[
        list[str] | None,
        option(
            TRAINING,
            "--network",
            metavar="NAME",
            help=f"What to train, repeatable; default: as the file says. {OTHER_FAMILY}",
        ),
    ] = None,
    runs: Annotated[
        int, option(TRAINING, "--runs", min=1, max=10_000, metavar="N", help="Fresh networks of every kind.")
    ] = 3,
    baselines: Annotated[
        str,
        option(
            TRAINING,
            "--baselines",
            metavar="NAMES",
            help="For comparison, train also on: random (as many real images as the file's floats pay for), "
            "bytes (as its bytes pay for, one a pixel), full (all real images); or several, as random,full.",
        ),
    ] = "",
    full_epochs: Annotated[
        int, option(TRAINING, "--full-epochs", min=1, max=100_000, metavar="N", help="Epochs of the baseline full.")
    ] = 10,
    protocol: Annotated[
        str,
        option(
            TRAINING,
            "--protocol",
            metavar="NAME",
            help="How to train: file (as it says), rtp (the paper's evaluation).",
        ),
    ] = "file",
    min_accuracy: Annotated[
        float | None,
        option(
            OUTPUT,
            "--min-accuracy",
            min=0,
            max=1,
            metavar="SHARE",
            help="Exit with code 7 where the mean accuracy of a network trained on the memory is below this.",
        ),
    ] = None,
    json: Json = False,
    seed: Seed = 0,
    device: Device = "auto",
    max_images: MaxImages = MAX_IMAGES,
    max_recall: MaxRecall = MAX_RECALL,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train fresh networks from a memory and measure them on real test data.

    Example: memcli eval shoes.safetensors --data torchvision:FashionMNIST --runs 5 --min-accuracy 0.8
    """
    from memcli.jobs.evaluate import evaluate, require, to_json
    from memcli.jobs.opening import load

    began = time.monotonic()
    with reporting(quiet=quiet, verbose=verbose) as progress:
        memory = load(file, limits(max_images, max_recall))
        report = evaluate(
            memory,
            data,
            networks=network or (),
            runs=runs,
            baselines=[name.strip() for name in baselines.split(",") if name.strip()],
            protocol=protocol,
            full_epochs=full_epochs,
            seed=seed,
            device=device,
            download=download,
            split=split,
            skip_damaged=skip_damaged,
            progress=progress,
        )
    figures = to_json(report)
    result = {
        "memory": str(file),
        "data": data,
        **figures,
        "size": memory.spec.size(),
        "seconds": time.monotonic() - began,
    }
    lines = [
        ("memory", str(file)),
        ("data", data),
        *((f"accuracy, {row['network']}", mean_percent(row["accuracy"])) for row in figures["results"]),
        *(
            (f"{kind} images, {row['network']}", mean_percent(row["accuracy"]))
            for kind, rows in figures["baselines"].items()
            for row in rows
        ),
        *size_lines(memory.spec.size()),
        ("took", duration(result["seconds"])),
    ]
    emit(result, lines, as_json=json)
    if min_accuracy is not None:
        require(report, min_accuracy)
