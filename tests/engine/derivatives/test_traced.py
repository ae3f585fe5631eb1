"""Recorded steps give the numbers of the way that was recorded, and refuse what a recording cannot hold."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import engine_problems as problems
import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch._inductor.exc import InvalidCxxCompiler
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from memcli.engine import (
    SGD,
    Backend,
    Direct,
    ForwardOverReverse,
    ReverseOverReverse,
    Stored,
    Tensors,
    Traced,
    TracedLoss,
    captured,
    compiled,
    quickest,
    replayed,
    why_not_compiled,
)
from memcli.engine.compiling.backends import captured_or_replayed
from memcli.engine.derivatives.traced import laid_out, pruned
from memcli.errors import UsageError
from memcli.networks.instance_norm import InstanceNorm
from memcli.seeds import isolated

WAYS = {"reverse": ReverseOverReverse, "forward": ForwardOverReverse}


def images_problem(way: problems.Way, dtype: torch.dtype = torch.float64, steps: int = 3) -> problems.InnerProblem:
    """A ConvNet of memcli's own layers, its convolutions' weights channels last."""
    with isolated(0, "problem"):
        module = nn.Sequential(
            *(nn.Conv2d(1, 2, 3, padding=1), InstanceNorm(2), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.Conv2d(2, 4, 3, padding=1), InstanceNorm(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)),
        )
    return problems.network(
        module.to(memory_format=torch.channels_last), (1, 4, 4), SGD(0.1, 0.9), steps, way, dtype=dtype
    )


def require_same(one: problems.InnerProblem, other: problems.InnerProblem, tolerance: float) -> None:
    (inner, outer), (plain, _) = one, other
    found, wanted = Stored().outer_gradient(inner, outer), Direct().outer_gradient(plain, outer)
    for mine, theirs in zip(problems.parts(found), problems.parts(wanted), strict=True):
        assert problems.relative(mine, theirs) < tolerance


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("optimiser", ["momentum", "decay", "adam-decay"])
@pytest.mark.parametrize("problem", problems.PROBLEMS)
def test_equals_autograd_through_the_unroll(problem: str, optimiser: str, way: str) -> None:
    def build(make: problems.Way) -> problems.InnerProblem:
        return problems.PROBLEMS[problem](problems.OPTIMISERS[optimiser], 3, make)

    require_same(build(lambda loss: Traced(loss, WAYS[way])), build(ReverseOverReverse), 1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_equals_autograd_through_the_unroll_channels_last(way: str) -> None:
    require_same(images_problem(lambda loss: Traced(loss, WAYS[way])), images_problem(ReverseOverReverse), 1e-9)


def test_replaying_gives_every_bit_of_what_was_recorded() -> None:
    for way in WAYS.values():
        results = []
        for make in (way, lambda loss, way=way: Traced(loss, way)):
            inner, _ = images_problem(make, torch.float32)
            direction = tuple(torch.full_like(param, 0.1) for param in inner.initial)
            arguments = (inner.initial, inner.controls, inner.batches[0])
            products = inner.derivatives.products(*arguments, direction)
            results.append((*inner.derivatives.gradient(*arguments), *products.curvature, *products.mixed))
        for one, other in zip(*results, strict=True):
            assert torch.equal(one, other)


needs_compiler = pytest.mark.skipif(why_not_compiled(torch.device("cpu")) is not None, reason="no working C++ compiler")


@needs_compiler
def test_compiled_steps_equal_autograd_and_are_the_same_every_time() -> None:
    inner, outer = compiled_problem = images_problem(lambda loss: Traced(loss, backend=compiled), steps=2)
    require_same(compiled_problem, images_problem(ReverseOverReverse, steps=2), 1e-9)
    first, second = (Stored().outer_gradient(inner, outer) for _ in range(2))
    for one, other in zip(problems.parts(first), problems.parts(second), strict=True):
        assert torch.equal(one, other)


@needs_compiler
def test_what_was_compiled_before_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    example = (torch.ones(3, 5), torch.arange(5.0))
    operations = make_fx(lambda x, y: ((x + y).exp().sum(0),))(*example)
    found, hits = [], []
    for _ in range(2):
        before = counters["inductor"]["fxgraph_cache_hit"]
        found.append(compiled(deepcopy(operations), example)(*example)[0])
        hits.append(counters["inductor"]["fxgraph_cache_hit"] - before)
    assert hits == [0, 1]
    assert torch.equal(*found)


def _calling(function: Callable[..., Tensor]) -> GraphModule:
    """Operations, (2,) -> (2,), of which one is `function`."""
    operations = make_fx(lambda x: (x + 1,))(torch.zeros(2))
    operations.graph.find_nodes(op="call_function", target=torch.ops.aten.add.Tensor)[0].target = function
    operations.recompile()
    return operations


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (
            InvalidCxxCompiler(),
            UsageError,
            r"cannot be compiled on this machine: .*No working C\+\+ compiler found.*\. Install a C\+\+ compiler",
        ),
        (RuntimeError("a bug of ours"), RuntimeError, "a bug of ours"),
        (MemoryError("none left"), MemoryError, "none left"),
    ],
)
def test_a_missing_compiler_is_told_with_the_reason_and_a_bug_is_not_hidden(
    raised: Exception, expected: type[Exception], message: str
) -> None:
    def broken(*_: object) -> Tensor:
        raise raised

    with pytest.raises(expected, match=message):
        compiled(_calling(broken), (torch.zeros(2),))


def test_only_cuda_steps_are_captured() -> None:
    with pytest.raises(UsageError, match=r"CUDA device can be captured\. Choose a CUDA device"):
        captured(make_fx(lambda x: (x + 1,))(torch.zeros(2)), (torch.zeros(2),))


def test_what_touches_another_device_is_replayed_and_not_captured() -> None:
    operations = make_fx(lambda x: (x + torch.ones(2),))(torch.zeros(2))
    assert captured_or_replayed(operations, (torch.zeros(2),)) is operations


@pytest.mark.parametrize(
    ("device", "compile", "backend"),
    [
        ("cpu", False, replayed),
        ("cpu", True, compiled),
        ("cuda", False, captured_or_replayed),
        ("cuda", True, captured),
    ],
)
def test_steps_on_cuda_are_captured_compiled_or_not(device: str, compile: bool, backend: Backend) -> None:
    assert quickest(torch.device(device), compile) is backend


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_captured_steps_equal_replayed_ones_on_cuda() -> None:
    found = []
    for backend in (replayed, compiled, captured, captured_or_replayed):
        inner, outer = problems.convnet(
            SGD(0.1, 0.9), 3, lambda loss, b=backend: Traced(loss, backend=b), device="cuda"
        )
        found.append(problems.parts(Stored().outer_gradient(inner, outer)))
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            assert problems.relative(mine, theirs) < 1e-9


def test_a_step_is_recorded_once_for_each_layout() -> None:
    calls: list[int] = []

    def counted(operations: torch.fx.GraphModule, example: Tensors) -> Callable[..., Tensors]:
        calls.append(len(example))
        return replayed(operations, example)

    backend: Backend = counted
    inner, outer = problems.mlp(SGD(0.1, 0.9), 4, lambda loss: Traced(loss, backend=backend))
    wanted = Stored().outer_gradient(problems.mlp(SGD(0.1, 0.9), 4)[0], outer)
    for _ in range(2):
        found = Stored().outer_gradient(inner, outer)
        assert problems.relative(found.controls[0], wanted.controls[0]) < 1e-12
    assert calls == [4 + 2 + 1, 4 + 2 + 1 + 4], "the gradient, then the products"
    narrow = tuple(param.float() for param in inner.initial), tuple(control.float() for control in inner.controls)
    inner.derivatives.gradient(*narrow, inner.batches[0])
    assert len(calls) == 3, "another precision is recorded anew"


def test_a_loss_that_looks_at_numbers_is_refused() -> None:
    def loss(params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        return (params[0] * controls[0]).sum() * float(batch[0])

    with pytest.raises(UsageError, match=r"the loss looks at numbers: .*\. Differentiate it with ReverseOverReverse\."):
        Traced(loss).gradient((torch.ones(2),), (torch.ones(2),), (torch.ones(()),))


def test_what_no_result_needs_is_dropped() -> None:
    def unused(x: Tensor, weight: Tensor, bar: Tensor) -> tuple[Tensor]:
        sizes = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, True])
        of_x, _, _ = torch.ops.aten.convolution_backward(bar, x, weight, [2], *sizes)
        _ = x.exp()
        return (of_x,)

    given = (problems.draw(1, 3, 4, 4, seed=1), problems.draw(2, 3, 3, 3, seed=2), problems.draw(1, 2, 4, 4, seed=3))
    operations = make_fx(unused)(*given)
    wanted = operations(*given)
    found = pruned(operations)
    targets = [node.target for node in found.graph.nodes]
    assert torch.ops.aten.exp.default not in targets
    masks = [node.args[-1] for node in found.graph.nodes if node.target is torch.ops.aten.convolution_backward.default]
    assert masks == [[True, False, False]]
    assert torch.equal(found(*given)[0], wanted[0])


def test_laid_out_copies_only_where_strides_differ() -> None:
    plain = torch.arange(24.0).view(1, 2, 3, 4)
    last = plain.contiguous(memory_format=torch.channels_last)
    same, moved = laid_out((plain, plain), (plain, last))
    assert same is plain
    assert moved.stride() == last.stride()
    assert torch.equal(moved, plain)


def test_a_traced_loss_has_the_value_and_the_gradient_of_the_loss() -> None:
    def loss(params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        return ((params[0] @ controls[0]).tanh() * batch[0]).sum()

    controls, batch = (problems.draw(3, seed=2),), (problems.draw(4, seed=3),)
    results = []
    for function in (loss, TracedLoss(loss)):
        params = (problems.draw(4, 3, seed=1).requires_grad_(), problems.draw(2, seed=4).requires_grad_())
        value = function(params, controls, batch)
        results.append((value, *torch.autograd.grad(3 * value, params, materialize_grads=True)))
    for mine, wanted in zip(*results, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-13, atol=0)
