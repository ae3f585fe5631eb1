"""`memcli retrain`: train a network from a memory file alone."""

from typing import Annotated, Any

from memcli.cli._options import (
    DATA,
    MAX_BYTES,
    MAX_IMAGES,
    MAX_SECONDS,
    OTHER_FAMILY,
    TRAINING,
    Cache,
    ClassNames,
    Device,
    Download,
    ExpectEachSha256,
    Force,
    Json,
    MaxBytes,
    MaxImages,
    MaxSeconds,
    MemoryFiles,
    Output,
    Quiet,
    Seed,
    SkipDamaged,
    Split,
    Trust,
    Verbose,
    limits,
    option,
)
from memcli.cli._output import emit, percent
from memcli.cli._progress import duration, reporting

JSON = {
    "output": "the path that was written",
    "network": "what was trained",
    "steps": "the steps of SGD",
    "seconds": "the time that training took",
    "sha256": "the checksum of the weights",
    "memory_sha256": "the checksum of the memory; of several, that of theirs one after the other",
    "accuracy": "with --data: the accuracy on the test split, a fraction of 1",
}


def command(
    files: MemoryFiles,
    *,
    output: Output,
    force: Force = False,
    json: Json = False,
    data: Annotated[
        str | None, option(DATA, "--data", metavar="SOURCE", help="Also measure the network on this test split.")
    ] = None,
    download: Download = False,
    split: Split = "test",
    skip_damaged: SkipDamaged = 0,
    cache: Cache = None,
    class_names: ClassNames = None,
    network: Annotated[
        str | None,
        option(
            TRAINING,
            "--network",
            metavar="NAME",
            help=f"What to train; default: as the file says. {OTHER_FAMILY}",
        ),
    ] = None,
    steps: Annotated[
        int | None, option(TRAINING, "--steps", metavar="N", help="Steps of SGD; default: as the file says.")
    ] = None,
    batch: Annotated[
        int | None, option(TRAINING, "--batch", metavar="N", help="Images a step; default: as the file says.")
    ] = None,
    lr: Annotated[
        float | None, option(TRAINING, "--lr", metavar="RATE", help="Rate of SGD; default: as the file says.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    max_images: MaxImages = MAX_IMAGES,
    max_bytes: MaxBytes = MAX_BYTES,
    max_seconds: MaxSeconds = MAX_SECONDS,
    expect_sha256: ExpectEachSha256 = None,
    trust: Trust = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a network on what a memory recalls, or several together, and save its weights. No data set is needed.

    Example: memcli retrain shoes.safetensors -o net.safetensors --network resnet18
    """
    from memcli.jobs.retrain import retrain

    with reporting(quiet=quiet, verbose=verbose) as progress:
        made = retrain(
            files,
            output,
            network=network,
            steps=steps,
            batch=batch,
            lr=lr,
            data=data,
            download=download,
            split=split,
            skip_damaged=skip_damaged,
            cache=cache,
            class_names=class_names,
            seed=seed,
            device=device,
            force=force,
            limits=limits(max_images, max_bytes, max_seconds, trust=trust),
            expect_sha256=expect_sha256 or (),
            progress=progress,
        )
    trained, recipe = made.trained, made.trained.recipe
    images = recipe.images(len(trained.data.classes), union=len(files) > 1)
    result: dict[str, Any] = {
        "output": str(output),
        "network": recipe.network,
        "steps": trained.steps,
        "seconds": trained.seconds,
    }
    lines = [
        ("output", str(output)),
        ("network", recipe.network),
        ("trained", f"{trained.steps} steps of {images} images in {duration(trained.seconds)}"),
    ]
    if made.accuracy is not None:
        result["accuracy"] = made.accuracy
        lines.append(("accuracy", f"{percent(made.accuracy)} of the test split"))
    result |= {"sha256": made.sha256, "memory_sha256": made.memory_sha256}
    emit(result, lines, as_json=json)
