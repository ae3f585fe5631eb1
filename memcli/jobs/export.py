"""A trained network as a program that runs where memcli is not: by `torch.export`, or as ONNX.

    pixels (n, C, H, W) float32 in [0, 1]  ->  probabilities (n, classes) float32

Normalisation is inside. The names of the classes are a JSON list: in a .pt2 file the extra file `classes.json`, in a
.onnx file the metadata `classes`.
"""

import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from memcli.data.spec import DataSpec
from memcli.data.whitening import whitened
from memcli.errors import UsageError
from memcli.files import atomic, weights
from memcli.files.limits import DEFAULT_LIMITS, Limits
from memcli.files.space import require_space
from memcli.jobs import budget
from memcli.networks.plain import plain
from memcli.text import printable


@dataclass(frozen=True)
class Exported:
    """What was written."""

    format: str  # "pt2" or "onnx"
    data: DataSpec  # of the images that it takes
    bytes: int


class Program(nn.Module):
    """A network with what stands before and behind it: pixels in [0, 1] -> probabilities."""

    mean: Tensor  # (C, 1, 1)
    std: Tensor

    def __init__(self, network: nn.Module, data: DataSpec) -> None:
        super().__init__()
        self.network, self.data = plain(network), data
        self.register_buffer("mean", torch.tensor(data.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(data.std).view(-1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, C, H, W) -> (n, classes)."""
        logits: Tensor = self.network(whitened((pixels - self.mean) / self.std, self.data))
        return logits.softmax(1)


def export(
    network: str | Path,
    output: str | Path,
    *,
    force: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    expect_sha256: str | None = None,
) -> Exported:
    """Write the network whose weights are in the file `network` as a program: `output` ends in .pt2 or .onnx.

    `expect_sha256`: the checksum that the file of weights must have.

    Raises MemoryFileError for a damaged file of weights, LimitError for one over `limits` or for a
    disk without room, ExistsError where `output` exists and `force` is not set, UsageError for another suffix, a
    network that cannot be converted, or where ONNX is not installed.
    """
    suffix = Path(output).suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"a network is not exported as {printable(suffix)!r}", do=f"End `output` in {' or '.join(FORMATS)}"
        )
    atomic.check_apart(output, network)
    atomic.check_output(output, force)
    trained, data = weights.read(network, limits, expect_sha256=expect_sha256)
    budget.require_looking(trained, data, 2, limits, torch.device("cpu"))
    program = Program(trained, data).eval()
    require_space(output, sum(tensor.nbytes for tensor in program.state_dict().values()), "the program")
    example = torch.zeros(2, *data.shape)
    program(example)  # a model may keep what it computes once for a size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporters warn of their own insides
        content = FORMATS[suffix](program, example)
    atomic.write_bytes(output, content, force=force)
    return Exported(suffix[1:], data, len(content))


def _pt2(program: Program, example: Tensor) -> bytes:
    try:
        exported = torch.export.export(program, (example,), dynamic_shapes=(_any_number(),))
    except Exception as error:  # whatever a model may hold that torch cannot trace
        raise _inconvertible("torch.export", error) from error
    buffer = io.BytesIO()
    torch.export.save(exported, buffer, extra_files={"classes.json": json.dumps(program.data.classes)})
    return buffer.getvalue()


def _onnx(program: Program, example: Tensor) -> bytes:
    if program.data.zca:
        raise UsageError("its images are whitened, which ONNX cannot do", do="End `output` in .pt2")
    try:
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError as error:
        raise UsageError(f"ONNX cannot be written: {printable(str(error))}", do="pip install 'memcli[onnx]'") from error
    try:
        exported = torch.onnx.export(
            program,
            (example,),
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_shapes=(_any_number(),),
            dynamo=True,
            verbose=False,
        )
    except Exception as error:  # whatever a model may hold that ONNX has no word for
        raise _inconvertible("ONNX", error) from error
    assert exported is not None  # as it is where no file was asked for
    exported.model.metadata_props["classes"] = json.dumps(program.data.classes)
    content: bytes = exported.model_proto.SerializeToString()
    return content


def _any_number() -> dict[int, torch.export.Dim]:
    return {0: torch.export.Dim("images", min=1)}


def _inconvertible(format: str, error: Exception) -> UsageError:
    told = printable(str(error).strip().partition("\n")[0])
    return UsageError(f"{format} cannot hold this network: {told}", do="Retrain by `network` convnet, or use the other")


FORMATS: dict[str, Callable[[Program, Tensor], bytes]] = {".pt2": _pt2, ".onnx": _onnx}
