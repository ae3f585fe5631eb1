"""Convolutions in bfloat16: those and no others, as if each had been rounded by hand."""

from typing import Any

import engine_problems as problems
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from memcli.engine import (
    SGD,
    InnerProblem,
    ReverseOverReverse,
    Stored,
    Tensors,
    Traced,
    compiled,
    in_bfloat16,
    precision,
    quick_in_bfloat16,
    replayed,
    why_not_compiled,
)
from memcli.networks.convolution import Convolution
from memcli.networks.instance_norm import InstanceNorm
from memcli.seeds import isolated

CPU = torch.device("cpu")


def narrow(way: problems.Way, dtype: torch.dtype = torch.float32, channels: int = 8) -> problems.InnerProblem:
    """Two convolutions, the first of images of one channel and the second of `channels`."""
    with isolated(0, "problem"):
        module = nn.Sequential(
            *(Convolution(1, channels, 3, padding=1), InstanceNorm(channels), nn.ReLU(), nn.AvgPool2d(2)),
            *(Convolution(channels, 8, 3, padding=1), InstanceNorm(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)),
        )
    return problems.network(module, (1, 8, 8), SGD(0.1, 0.9), 3, way, dtype=dtype)


class Rounding(TorchDispatchMode):
    """Rounds what convolutions of 8 channels or more, and their derivatives, are given and give, one by one."""

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        weight = {torch.ops.aten.convolution.default: 1, torch.ops.aten.convolution_backward.default: 2}.get(function)
        if weight is None or args[weight].shape[1] < 8:
            return function(*args, **(kwargs or {}))
        found = function(*(part.bfloat16() if isinstance(part, Tensor) else part for part in args))
        if isinstance(found, Tensor):
            return found.float()
        return tuple(None if part is None else part.float() for part in found)


def results(inner: InnerProblem) -> Tensors:
    """The gradient and both products of the first step."""
    arguments = (inner.initial, inner.controls, inner.batches[0])
    direction = tuple(torch.full_like(param, 0.1) for param in inner.initial)
    products = inner.derivatives.products(*arguments, direction)
    return (*inner.derivatives.gradient(*arguments), *products.curvature, *products.mixed)


def test_is_what_rounding_around_each_convolution_gives() -> None:
    found = results(narrow(lambda loss: Traced(loss, backend=in_bfloat16(replayed)))[0])
    plain = narrow(ReverseOverReverse)[0]
    unrounded = results(plain)
    with Rounding():
        wanted = results(plain)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other)
    assert not all(torch.equal(one, other) for one, other in zip(found, unrounded, strict=True))


def test_convolutions_of_images_are_left_alone() -> None:
    rounded, plain = (
        results(narrow(lambda loss, b=backend: Traced(loss, backend=b), channels=7)[0])
        for backend in (in_bfloat16(replayed), replayed)
    )
    for one, other in zip(rounded, plain, strict=True):
        assert torch.equal(one, other)


@pytest.mark.skipif(why_not_compiled(CPU) is not None, reason="no working C++ compiler")
def test_the_gradient_of_compiled_steps_is_some_per_cent_off() -> None:
    inner, outer = narrow(lambda loss: Traced(loss, backend=in_bfloat16(compiled)))
    found, wanted = (
        torch.cat([part.double().flatten() for part in problems.parts(Stored().outer_gradient(*problem))])
        for problem in ((inner, outer), narrow(ReverseOverReverse, torch.float64))
    )
    assert 1e-3 < problems.relative(found, wanted) < 0.2


@pytest.mark.parametrize(
    ("device", "avx512", "amx", "cuda", "quick"),
    [
        ("cpu", True, False, False, True),
        ("cpu", False, True, False, True),
        ("cpu", False, False, True, False),
        ("cuda", True, True, False, False),
        ("cuda", False, False, True, True),
    ],
)
def test_pays_on_processors_that_multiply_it(
    device: str, avx512: bool, amx: bool, cuda: bool, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: cuda and not including_emulation)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert quick_in_bfloat16(torch.device(device)) == quick


@pytest.mark.parametrize(
    ("device", "bfloat16", "tf32", "name"),
    [
        ("cpu", False, True, "float32"),
        ("cuda", False, True, "tf32"),
        ("cuda", False, False, "float32"),
        ("cuda", True, True, "bfloat16"),
    ],
)
def test_a_precision_has_the_name_of_what_convolutions_compute_in(
    device: str, bfloat16: bool, tf32: bool, name: str
) -> None:
    with torch.backends.cudnn.flags(allow_tf32=tf32):
        assert precision(torch.device(device), bfloat16) == name
