"""`memcli eval`: how good a memory is, against real test data."""

import time
from typing import TYPE_CHECKING, Annotated, Any

from memcli.cli import _ranks as ranks
from memcli.cli._options import (
    DATA,
    MAX_BYTES,
    MAX_IMAGES,
    MAX_SECONDS,
    OTHER_FAMILY,
    OUTPUT,
    TRAINING,
    Cache,
    ClassNames,
    Device,
    Download,
    ExpectSha256,
    Json,
    MaxBytes,
    MaxImages,
    MaxSeconds,
    MemoryFile,
    Nproc,
    Quiet,
    Runs,
    Seed,
    SkipDamaged,
    Split,
    Trust,
    Verbose,
    limits,
    names_in,
    option,
)
from memcli.cli._output import emit, mean_percent, percent, size_lines
from memcli.cli._progress import duration, reporting

if TYPE_CHECKING:
    from memcli.jobs.figures import Report

_TOLD = 5  # worst classes, and most frequent mistakes, that a line holds

JSON = {
    "memory": "the path of the memory file",
    "data": "the source as given",
    "results": "a list of `{network, protocol, accuracy: {mean, std, n}, steps, lr, per_class, confusion}`, all of the "
    "first protocol first: accuracies as "
    "fractions of 1, and how long and at which rate it was trained; the rate is halved where a training diverges; "
    "`per_class` has an accuracy for each class, null without test images; `confusion[i][j]` counts test images of "
    "class i that were taken for j, over all runs, and is null beyond 200 classes",
    "baselines": "by name (random, bytes, full), where asked for: a list as in results, but without the last two",
    "accuracy": "`{memory: {network: mean}}`, and so for each baseline, by the first protocol: for programs that skip "
    "lists, as DVC does",
    "protocols": "for each protocol what `accuracy` has",
    "majority": "the accuracy of always giving the most frequent class of the test images, a fraction of 1",
    "classes": "the names of the classes",
    "test_images": "how many test images each class has",
    "complete": "false where it was stopped or failed before everything was measured",
    "size": "`{floats, bytes, bits_per_class, recalled_per_class, ipc}`",
    "sha256": "the checksum of the memory",
    "seconds": "the time that everything took",
}


def command(
    file: MemoryFile,
    *,
    data: Annotated[str, option(DATA, "--data", metavar="SOURCE", help="The data set whose test split is used.")],
    download: Download = False,
    split: Split = "test",
    skip_damaged: SkipDamaged = 0,
    cache: Cache = None,
    class_names: ClassNames = None,
    network: Annotated[
        list[str] | None,
        option(
            TRAINING,
            "--network",
            metavar="NAME",
            help=f"What to train, repeatable; default: as the file says. {OTHER_FAMILY}",
        ),
    ] = None,
    runs: Runs = 3,
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
            metavar="NAMES",
            help="How to train, on the memory and on real images alike: own (as the file says), rtp (the paper's "
            "evaluation), idc (IDC's: 1,000 epochs, with CutMix); or several, as own,rtp,idc.",
        ),
    ] = "own",
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
    nproc: Nproc = 1,
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
    """Train fresh networks from a memory and measure them on real test data.

    Example: memcli eval shoes.safetensors --data torchvision:FashionMNIST --runs 5 --min-accuracy 0.8
    """
    from memcli.jobs.evaluate import evaluate, require, to_json
    from memcli.jobs.opening import load

    began, so_far = time.monotonic(), None

    def follow(report: "Report") -> None:
        nonlocal so_far
        so_far = report

    def show(report: "Report") -> None:
        figures = {"memory": str(file), "data": data, **to_json(report), "size": memory.spec.size()}
        figures["sha256"] = memory.sha256
        figures["seconds"] = time.monotonic() - began
        emit(figures, _lines(report, figures, everything=verbose), as_json=json)

    device, is_first = ranks.start(nproc, device)
    with reporting(quiet=quiet or not is_first, verbose=verbose) as progress:
        allowed = limits(max_images, max_bytes, max_seconds, trust=trust)
        memory = load(file, allowed, expect_sha256=expect_sha256)
        try:
            report = evaluate(
                memory,
                data,
                networks=network or (),
                runs=runs,
                baselines=names_in(baselines),
                protocol=names_in(protocol),
                full_epochs=full_epochs,
                seed=seed,
                device=device,
                download=download,
                split=split,
                skip_damaged=skip_damaged,
                cache=cache,
                class_names=class_names,
                limits=allowed,
                progress=progress,
                follow=follow,
                keep=file,
            )
        except Exception:
            if so_far is not None:
                show(so_far)
            raise
    if is_first:
        show(report)
        if min_accuracy is not None:
            require(report, min_accuracy)


def _lines(report: "Report", figures: dict[str, Any], *, everything: bool) -> list[tuple[str, str]]:
    return [
        ("memory", figures["memory"]),
        ("data", figures["data"]),
        *(_compared(report, figures) if len(report.protocols) > 1 else _accuracies(figures)),
        ("always one class", percent(report.majority)),
        *(line for network in report.networks for line in _by_class(report, network, everything=everything)),
        *size_lines(figures["size"]),
        ("took", duration(figures["seconds"])),
        *([] if report.complete else [("incomplete", "it was stopped before everything was measured")]),
    ]


def _accuracies(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """By one protocol: a line for the memory and each baseline."""
    named = {"accuracy": figures["results"], **{f"{kind} images": rows for kind, rows in figures["baselines"].items()}}
    return [
        (f"{what}, {row['network']}", mean_percent(row["accuracy"])) for what, rows in named.items() for row in rows
    ]


def _compared(report: "Report", figures: dict[str, Any]) -> list[tuple[str, str]]:
    """By several protocols: a line for each and each network, so that what stands side by side was trained alike."""
    named = {"memory": figures["results"], **figures["baselines"]}
    lines = []
    for protocol in report.protocols:
        for network in report.networks:
            told = (
                f"{what} {mean_percent(row['accuracy'])}"
                for what, rows in named.items()
                for row in rows
                if (row["protocol"], row["network"]) == (protocol, network)
            )
            lines.append((f"{protocol}, {network}", ", ".join(told)))
    return lines


def _by_class(report: "Report", network: str, *, everything: bool) -> list[tuple[str, str]]:
    """What `network` knows worst, and what it takes for what: for `everything`, a line for each class."""
    classes, confused = report.classes, report.confused(network)
    known = [(share, label) for label, share in enumerate(report.per_class(network)) if share is not None]
    if everything:
        lines = []
        for share, label in known:
            taken = (f"{classes[one.answer]} {_brief(one.share)}" for one in confused if one.label == label)
            lines.append((f"{classes[label]}, {network}", ", taken for ".join([_brief(share), *taken])))
        return lines
    worst = ", ".join(f"{classes[label]} ({_brief(share)})" for share, label in sorted(known)[:_TOLD])
    pairs = ", ".join(
        f"{classes[one.label]} as {classes[one.answer]} ({_brief(one.share)})" for one in confused[:_TOLD]
    )
    return [(f"worst, {network}", worst), *([(f"confused, {network}", pairs)] if pairs else [])]


def _brief(share: float) -> str:
    return f"{100 * share:.1f} %"
