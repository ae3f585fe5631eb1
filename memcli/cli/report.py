"""`memcli report`: an HTML page of what a memory holds and how good it is."""

from pathlib import Path
from typing import Annotated

from memcli.cli._options import (
    DATA,
    MAX_BYTES,
    MAX_IMAGES,
    MAX_SECONDS,
    TRAINING,
    Cache,
    ClassNames,
    Device,
    Download,
    ExpectSha256,
    Force,
    Json,
    MaxBytes,
    MaxImages,
    MaxSeconds,
    MemoryFile,
    Output,
    Quiet,
    Runs,
    Seed,
    Trust,
    Verbose,
    limits,
    names_in,
    option,
)
from memcli.cli._output import emit, percent
from memcli.cli._progress import reporting

PANEL = "Look at a memory"  # of memcli --help
JSON = {
    "report": "the path of the page",
    "bytes": "its size",
    "accuracy": "the mean test accuracy of the first network that was trained on the memory, a fraction of 1; null "
    "where none was measured",
}


def command(
    file: MemoryFile,
    *,
    output: Output,
    force: Force = False,
    json: Json = False,
    data: Annotated[
        str | None,
        option(DATA, "--data", metavar="SOURCE", help="Show its images, and measure networks on its test split."),
    ] = None,
    download: Download = False,
    cache: Cache = None,
    class_names: ClassNames = None,
    figures: Annotated[
        Path | None,
        option(
            DATA, "--figures", metavar="FILE.json", help="Show what memcli eval FILE --json printed; measure nothing."
        ),
    ] = None,
    runs: Runs = 3,
    baselines: Annotated[
        str, option(TRAINING, "--baselines", metavar="NAMES", help="For comparison, train also on these; as eval does.")
    ] = "random",
    seed: Seed = 0,
    device: Device = "auto",
    max_images: MaxImages = MAX_IMAGES,
    max_bytes: MaxBytes = MAX_BYTES,
    max_seconds: MaxSeconds = MAX_SECONDS,
    expect_sha256: ExpectSha256 = None,
    trust: Trust = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write one HTML page of what a memory holds and how good it is: pictures, charts, settings.

    Example: memcli report shoes.safetensors -o shoes.html --data torchvision:FashionMNIST
    """
    from memcli.reports.page import report

    with reporting(quiet=quiet, verbose=verbose) as progress:
        written = report(
            file,
            output,
            data=data,
            download=download,
            cache=cache,
            class_names=class_names,
            figures=figures,
            runs=runs,
            baselines=names_in(baselines),
            seed=seed,
            device=device,
            force=force,
            limits=limits(max_images, max_bytes, max_seconds, trust=trust),
            expect_sha256=expect_sha256,
            progress=progress,
        )
    reached = None if written.accuracy is None else [("accuracy", percent(written.accuracy))]
    result = {"report": str(written.path), "bytes": written.bytes, "accuracy": written.accuracy}
    emit(result, [("report", str(output)), ("size", f"{written.bytes:,} bytes"), *(reached or [])], as_json=json)
