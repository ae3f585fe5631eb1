"""What is measured, and what memcli's own methods stand for."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from memcli.engine import (
    Checkpointed,
    Direct,
    Fastest,
    ForwardOverReverse,
    ReverseOverReverse,
    Traced,
    compiled,
    in_bfloat16,
)

PRECISIONS = ("fp32", "tf32", "bf16")
WAYS = tuple(partial(Traced, way=way, backend=compiled) for way in (ReverseOverReverse, ForwardOverReverse))
FLOAT32, AUTOCAST = "memcli:float32", "unroll:autocast"
VARIANTS: dict[str, dict[str, Any]] = {
    "memcli": {"compile": True},  # what `memcli distill` does in a run that is long enough to pay for compiling
    FLOAT32: {"compile": True},  # the same, never rounded
    "memcli:eager": {},  # as in a shorter run
    "memcli:checkpointed": {"adjoint": Checkpointed(), "compile": True},
    "memcli:direct": {"adjoint": Direct()},
    "memcli:compiled": {"derivatives": WAYS[0]},  # on CUDA: not captured as graphs
    "memcli:autograd": {"derivatives": ReverseOverReverse},
    "memcli:forward": {"derivatives": WAYS[1]},
    "memcli:fastest": {"derivatives": partial(Fastest, ways=WAYS)},
}
UNRECORDED = ("memcli:direct", "memcli:autograd", "memcli:fastest")  # there is no list of operations to round in
Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One measurement: the outer step of one method."""

    width: int
    batch: int  # recalled images in an inner step
    steps: int  # T
    classes: int = 10
    method: str = "memcli"
    real: int = 100  # real images in the outer loss
    precision: str = "fp32"
    device: str = "cpu"

    @property
    def network(self) -> str:
        return f"convnet:width={self.width}"  # depth 3, for images of 32x32


def ways(cell: Cell) -> dict[str, Any]:
    """The arguments of UnrolledObjective that a method and a precision stand for."""
    variant, rounded = VARIANTS.get(cell.method, {}), cell.precision == "bf16"
    own = variant.get("derivatives")
    if rounded and own is not None:
        return {**variant, "derivatives": partial(own, backend=in_bfloat16(own.keywords["backend"]))}
    return {**variant, "bfloat16": rounded}
