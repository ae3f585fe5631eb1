"""`memcli predict`: what a trained network says of image files."""

from pathlib import Path
from typing import Annotated

import typer

from memcli.cli._options import Device, ExpectSha256, Json, NetworkFile, Trust, limits
from memcli.cli._output import emit, percent

PANEL = "Use a network"  # of memcli --help
JSON = {
    "network": "the file of weights",
    "images": "for each image that can be read: `{file, class, probability, probabilities}`, the last by class",
}
_TOLD = 3  # classes that are told of an image


def command(
    network: NetworkFile,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE", help="Image files: PNG, JPEG and others.", show_default=False)
    ],
    *,
    json: Json = False,
    expect_sha256: ExpectSha256 = None,
    trust: Trust = False,
    device: Device = "auto",
) -> None:
    """Say which class image files show, and how probable that is, by a network that `memcli retrain` wrote.

    Images that cannot be read are named, and the command exits with 3 after it told of the others.

    Example: memcli predict net.safetensors shoe.jpg
    """
    from memcli.jobs.predict import predict_readable, unreadable

    predictions, damaged = predict_readable(
        network, images, device=device, limits=limits(trust=trust), expect_sha256=expect_sha256
    )
    told = [
        {"file": each.file, "class": each.label, "probability": each.probabilities[each.label]}
        | {"probabilities": each.probabilities}
        for each in predictions
    ]
    lines = [
        (each.file, ", ".join(f"{name} {percent(share)}" for name, share in list(each.probabilities.items())[:_TOLD]))
        for each in predictions
    ]
    if predictions or json:
        emit({"network": str(network), "images": told}, lines, as_json=json)
    if damaged:
        raise unreadable(damaged)
