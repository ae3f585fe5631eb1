"""Rounding to codes and scales against a slow reference, one number after the other; and packing."""

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memcli.memory.quantise import from_payload, rounded, to_payload
from memcli.memory.storage import SCALED_AXIS, STORAGES
from memcli.memory.storages.base import LEAST_SCALE
from memcli.memory.storages.codes import dequantise, pack, quantise, unpack
from memcli.seeds import generator

LEVELS = {"int8": 127, "int4": 7}


def random(shape: tuple[int, ...], seed: int = 0, spread: float = 1.0) -> Tensor:
    """Normal numbers whose size differs by orders of magnitude along every axis."""
    draw = torch.randn(shape, generator=generator(seed, "values"))
    for axis, side in enumerate(shape):
        sizes = torch.randn(side, generator=generator(seed, "sizes", axis)).exp()
        draw = draw * sizes.view([-1 if other == axis else 1 for other in range(len(shape))])
    return draw * spread


def reference(values: Tensor, levels: int, axis: int) -> tuple[numpy.ndarray, list[float]]:
    """Codes and scales by the rule of docs/format.md."""
    codes = numpy.zeros(tuple(values.shape), dtype=int)
    scales = []
    for index in range(values.shape[axis]):
        places = [place for place in numpy.ndindex(tuple(values.shape)) if place[axis] == index]
        peak = max(abs(float(values[place])) for place in places)
        scale = max(float(numpy.float16(numpy.float32(peak) / numpy.float32(levels))), 2.0**-14)
        scales.append(scale)
        for place in places:
            code = round(float(values[place]) / scale)  # to even, as torch rounds
            codes[place] = min(max(code, -levels), levels)
    return codes, scales


@pytest.mark.parametrize("name", SCALED_AXIS)
@pytest.mark.parametrize("storage", LEVELS)
def test_codes_and_scales_are_the_reference_s(storage: str, name: str) -> None:
    values, levels, axis = random((4, 3, 5)), LEVELS[storage], SCALED_AXIS[name]
    codes, scales = quantise(values, levels, axis)
    wanted_codes, wanted_scales = reference(values, levels, axis % 3)
    assert (codes.dtype, scales.dtype, scales.shape) == (torch.int8, torch.float16, (values.shape[axis],))
    assert scales.tolist() == wanted_scales
    assert (codes.numpy() == wanted_codes).all()
    assert codes.abs().movedim(axis, 0).flatten(1).amax(1).tolist() == [levels] * values.shape[axis]


@pytest.mark.parametrize("storage", LEVELS)
def test_a_number_moves_by_half_a_scale_at_most(storage: str) -> None:
    values = random((6, 2, 3, 3))
    _, scales = quantise(values, LEVELS[storage], 0)
    error = (rounded(values, storage, 0) - values).abs().flatten(1).amax(1)
    clipped = LEVELS[storage] * 2.0**-11  # a scale that float16 rounds down makes the largest number too large for it
    assert (error <= (0.5 + clipped) * scales.float()).all()
    assert error.max() > 0


def test_products_are_exact_in_float32() -> None:
    codes = torch.arange(-127, 128, dtype=torch.int8).expand(300, -1)
    scales = (torch.rand(300, generator=generator(0, "scales")) * 60 + 1e-3).half()
    exact = codes.double() * scales.double().unsqueeze(1)
    assert torch.equal(dequantise(codes, scales, 0).double(), exact)


@settings(max_examples=100, deadline=None)
@given(
    sides=st.lists(st.integers(1, 5), min_size=3, max_size=4),
    storage=st.sampled_from(list(STORAGES)),
    name=st.sampled_from(list(SCALED_AXIS)),
    seed=st.integers(0, 1000),
    spread=st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 20.0]),
)
def test_what_is_stored_is_given_back_bit_for_bit(
    sides: list[int], storage: str, name: str, seed: int, spread: float
) -> None:
    shape = tuple(sides if name == "bases" else sides[:3])
    values = random(shape, seed, spread)
    axis = SCALED_AXIS[name]
    once = rounded(values, storage, axis)
    payload = to_payload({name: once}, storage, SCALED_AXIS)
    assert torch.equal(from_payload(payload, {name: shape}, storage, SCALED_AXIS)[name], once)
    assert torch.equal(rounded(once, storage, axis), once)
    again = to_payload({name: values}, storage, SCALED_AXIS)
    assert payload.keys() == again.keys()
    assert all(torch.equal(payload[part], again[part]) for part in payload)
    assert all((part >= LEAST_SCALE).all() for key, part in payload.items() if key.endswith("_scale"))


@pytest.mark.parametrize("count", [1, 2, 3, 8, 15])
def test_two_codes_lie_in_a_byte(count: int) -> None:
    codes = torch.randint(-7, 8, (count,), generator=generator(count, "codes"), dtype=torch.int8)
    packed = pack(codes)
    assert (packed.dtype, packed.shape) == (torch.uint8, (math.ceil(count / 2),))
    slow = [0] * len(packed)
    for place, code in enumerate(codes.tolist()):
        slow[place // 2] += (code + 8) * 16 ** (place % 2)
    assert packed.tolist() == slow
    assert torch.equal(unpack(packed, (count,)), codes)
    assert torch.equal(unpack(pack(codes.view(count, 1)), (1, count)), codes.view(1, count))


@pytest.mark.parametrize("storage", ["float16", "int8", "int4"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e8])
def test_what_cannot_be_stored_is_not_finite(storage: str, value: float) -> None:
    values = random((3, 2, 2, 2))
    values[1, 0, 0, 0] = value
    assert not rounded(values, storage, 0).isfinite().all()


def test_float32_is_kept_as_it_is() -> None:
    values = random((3, 2, 2, 2))
    assert rounded(values, "float32", 0) is values


@pytest.mark.parametrize("storage", list(STORAGES))
def test_rounding_keeps_the_dtype(storage: str) -> None:
    assert rounded(random((3, 2, 2, 2)).double(), storage, 0).dtype == torch.float64
