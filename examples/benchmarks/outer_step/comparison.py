"""How far apart two gradients are."""

import base64

import torch
from torch import Tensor

from memcli.engine import Tensors
from outer_step.cell import Row

COMPARED = 3  # inner steps: over many more, sign flips of ReLUs amplify rounding without bound (docs/performance.md)
TOLERANCE = 5e-3  # of two gradients in float32, relatively: a few flipped signs of ReLUs (docs/performance.md)


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


def disagreeing(rows: list[Row]) -> list[Row]:
    """The rows in float32 whose gradient is not that of the plain unroll; one that is not finite is not, either."""
    errors = [(row, row.get("error")) for row in rows if row["precision"] == "fp32"]
    return [row for row, error in errors if error is not None and not error <= TOLERANCE]


def flat(tensors: Tensors) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).cpu()


def encoded(gradient: Tensors) -> str:
    return base64.b64encode(flat(gradient).numpy().tobytes()).decode()


def decoded(answer: Row) -> dict[str, Tensor]:
    return {
        name: torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.float32) for name, text in answer.items()
    }
