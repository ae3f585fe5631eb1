"""Numbers rounded to what a storage type can hold, and the tensors that a file holds of them.

Learning with quantisation in the loop: an objective sees `rounded` tensors, and the gradient with respect to them moves
the float32 tensors that they were rounded from, as if rounding were the identity (straight-through estimator [STE]).
The scale follows the largest number of its group, so no number is clipped but by the rounding of the scale itself, and
the identity is taken for scale and code together.

[STE] Bengio, Léonard, Courville, "Estimating or propagating gradients through stochastic neurons", arXiv 1308.3432.
"""

import math

import torch
from torch import Tensor

from memcli.memory.storage import LEAST_SCALE, NIBBLE_ZERO, SCALE_SUFFIX, SCALED_AXIS, STORAGES

_FLOATS = {"float32": torch.float32, "float16": torch.float16}  # the storage types without codes


def quantise(values: Tensor, levels: int, axis: int) -> tuple[Tensor, Tensor]:
    """Codes, int8 of the shape of `values`, and scales, float16 of shape (values.shape[axis],).

    code · scale is `values` to within half a scale. Quantising that product again gives the same codes and scales.
    """
    peaks = values.abs().movedim(axis, 0).flatten(1).amax(1)
    scales = (peaks / levels).half().clamp(min=LEAST_SCALE)
    codes = (values / _along(scales, values, axis)).round().clamp(-levels, levels)
    return codes.nan_to_num().to(torch.int8), scales


def dequantise(codes: Tensor, scales: Tensor, axis: int) -> Tensor:
    """code · scale, float32: exact, as the product of 8 and 11 bits."""
    return codes.float() * _along(scales.float(), codes, axis)


def rounded(name: str, values: Tensor, storage: str) -> Tensor:
    """The tensor `name` of a memory as a file of that storage type will give it back, in the dtype of `values`.

    Not finite where a number is not, or is too large.
    """
    if storage in _FLOATS:
        return values.to(_FLOATS[storage]).to(values.dtype)
    axis = SCALED_AXIS[name]
    return dequantise(*quantise(values, STORAGES[storage].levels, axis), axis).to(values.dtype)


def to_payload(tensors: dict[str, Tensor], storage: str) -> dict[str, Tensor]:
    """What a file holds of a memory's tensors: themselves, or codes and, as `<name>_scale`, scales."""
    kind = STORAGES[storage]
    if storage in _FLOATS:
        return {name: values.to(_FLOATS[storage]) for name, values in tensors.items()}
    found = {}
    for name, values in tensors.items():
        codes, found[name + SCALE_SUFFIX] = quantise(values, kind.levels, SCALED_AXIS[name])
        found[name] = pack(codes) if kind.bits == 4 else codes
    return found


def from_payload(payload: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], storage: str) -> dict[str, Tensor]:
    """The tensors of those shapes, float32, from what a file holds of them."""
    kind = STORAGES[storage]
    if storage in _FLOATS:
        return {name: payload[name].float() for name in shapes}
    found = {}
    for name, shape in shapes.items():
        codes = unpack(payload[name], shape) if kind.bits == 4 else payload[name]
        found[name] = dequantise(codes, payload[name + SCALE_SUFFIX], SCALED_AXIS[name])
    return found


def pack(codes: Tensor) -> Tensor:
    """Codes in [-7, 7] of any shape, row-major, two in a byte: uint8 (⌈n / 2⌉,)."""
    halves = (codes.flatten() + NIBBLE_ZERO).to(torch.uint8)
    halves = torch.nn.functional.pad(halves, (0, len(halves) % 2))
    return halves[0::2] | (halves[1::2] << 4)


def unpack(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The codes of `pack`, int8 of that shape."""
    halves = torch.stack([packed & 15, packed >> 4], 1).flatten()[: math.prod(shape)]
    return (halves.to(torch.int8) - NIBBLE_ZERO).reshape(shape)


def _along(scales: Tensor, values: Tensor, axis: int) -> Tensor:
    """`scales` in the dtype of floating `values`, shaped to be multiplied with them."""
    shape = [1] * values.dim()
    shape[axis] = -1
    return (scales.to(values.dtype) if values.is_floating_point() else scales).view(shape)
