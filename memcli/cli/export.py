"""`memcli export`: a trained network as a program that runs without memcli."""

from memcli.cli._options import ExpectSha256, Force, Json, NetworkFile, Output, Trust, limits
from memcli.cli._output import emit

PANEL = "Use a network"  # of memcli --help
JSON = {
    "output": "the path that was written",
    "format": "`pt2` or `onnx`",
    "shape": "`[channels, height, width]` of the images that it takes",
    "classes": "the names of the classes, in the order of the probabilities that it gives",
    "bytes": "the size of the file",
}


def command(
    network: NetworkFile,
    *,
    output: Output,
    force: Force = False,
    json: Json = False,
    expect_sha256: ExpectSha256 = None,
    trust: Trust = False,
) -> None:
    """Write a network that `memcli retrain` wrote as a program for PyTorch (.pt2) or ONNX (.onnx).

    It takes pixels in [0, 1] as float32, (n, channels, height, width), and gives the probability of each class.

    Example: memcli export net.safetensors -o net.onnx
    """
    from memcli.jobs.export import export

    made = export(network, output, force=force, limits=limits(trust=trust), expect_sha256=expect_sha256)
    result = {
        "output": str(output),
        "format": made.format,
        "shape": list(made.data.shape),
        "classes": list(made.data.classes),
        "bytes": made.bytes,
    }
    lines = [
        ("output", f"{output}, {made.bytes:,} bytes"),
        ("takes", f"pixels in [0, 1], float32, (n, {', '.join(map(str, made.data.shape))})"),
        ("gives", f"probabilities (n, {len(made.data.classes)}): {', '.join(made.data.classes)}"),
    ]
    emit(result, lines, as_json=json)
