"""Codes and scales: numbers rounded to whole multiples of a scale, and small codes packed into bytes."""

import math

import torch
from torch import Tensor

from memcli.memory.storages.base import LEAST_SCALE, NIBBLE_ZERO


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
    """`scales` in the dtype of floating `values`, in a shape that multiplies with them."""
    shape = [1] * values.dim()
    shape[axis] = -1
    return (scales.to(values.dtype) if values.is_floating_point() else scales).view(shape)
