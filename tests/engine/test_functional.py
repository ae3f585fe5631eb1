"""Networks with shared and frozen parameters, and with dropout, are differentiated through as torch trains them."""

import copy
from collections.abc import Iterator

import engine_problems as problems
import pytest
import torch
from torch import Tensor, nn

from memcli import seeds
from memcli.engine import (
    SGD,
    Adjoint,
    Checkpointed,
    Direct,
    Functional,
    InnerProblem,
    OuterLoss,
    Stored,
    Tensors,
    Windowed,
)

ADJOINTS = {"stored": Stored(), "checkpointed": Checkpointed(), "window": Windowed(0, 5)}


class Tied(nn.Module):
    """Two layers with one weight between them, dropout, and a frozen layer."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.first, self.second, self.frozen = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.second.weight = self.first.weight
        self.frozen.requires_grad_(False)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(self.drop(torch.tanh(self.second(self.drop(torch.tanh(self.first(x)))))))


@pytest.fixture(params=[0.0, 0.5], ids=["plain", "dropout"])
def networks(request: pytest.FixtureRequest) -> Iterator[tuple[nn.Module, nn.Module]]:
    """The same layers twice, with other weights."""
    with seeds.isolated(0, "networks"):
        yield Tied(request.param).double(), Tied(request.param).double()


def unroll(skeleton: nn.Module, fresh: nn.Module, steps: int = 5) -> tuple[InnerProblem, OuterLoss]:
    trained, tested = Functional(skeleton), Functional(copy.deepcopy(skeleton).eval())
    initial, fixed = trained.split(fresh)
    real, targets = problems.draw(5, 4, seed=7), problems.draw(5, 3, seed=8)

    def loss(params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        seed, *frozen = batch
        return ((trained(params, tuple(frozen), controls[0], seed) - controls[1]) ** 2).mean()

    controls = (problems.draw(6, 4, seed=5), problems.draw(6, 3, seed=6))
    batches = [(torch.tensor(seeds.derive(0, "drop", t)), *fixed) for t in range(steps)]
    way = problems.WAYS["reverse"](loss)
    problem = InnerProblem(initial, controls, batches, way, SGD(0.3, 0.9), learn_rate=True)
    return problem, lambda params: ((tested(params, fixed, real) - targets) ** 2).mean()


@pytest.mark.parametrize("adjoint", ADJOINTS.values(), ids=ADJOINTS)
def test_equals_autograd_through_the_unroll(networks: tuple[nn.Module, nn.Module], adjoint: Adjoint) -> None:
    inner, outer = unroll(*networks)
    found, wanted = adjoint.outer_gradient(inner, outer), Direct().outer_gradient(inner, outer)
    for one, other in zip(problems.parts(found), problems.parts(wanted), strict=True):
        assert other.norm() > 1e-6
        assert problems.relative(one, other) < 1e-9


def test_trains_as_torch_does_with_the_frozen_weights_of_the_fresh_network(
    networks: tuple[nn.Module, nn.Module],
) -> None:
    skeleton, fresh = networks
    inner, outer = unroll(skeleton, fresh)
    found = Stored().outer_gradient(inner, outer)
    frozen = fresh.frozen.weight.clone()
    optimiser = torch.optim.SGD([p for p in fresh.parameters() if p.requires_grad], lr=0.3, momentum=0.9)
    for seed, *_ in inner.batches:
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(int(seed))
            loss = ((fresh(inner.controls[0]) - inner.controls[1]) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    trained = dict(fresh.named_parameters())
    assert len(found.weights) == 3, "one shared weight and two biases"
    for name, weights in zip(("first.weight", "first.bias", "second.bias"), found.weights, strict=True):
        torch.testing.assert_close(weights, trained[name].detach(), rtol=1e-12, atol=1e-14)
    assert fresh.second.weight is fresh.first.weight
    assert torch.equal(fresh.frozen.weight, frozen)


def test_the_same_seed_drops_the_same_and_another_seed_does_not() -> None:
    with seeds.isolated(0, "networks"):
        network = Tied(0.5)
    function, inputs = Functional(network), torch.ones(20, 4)
    one, same, other = (function(*function.split(network), inputs, torch.tensor(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_forward_over_reverse_replays_what_is_dropped_too() -> None:
    with seeds.isolated(0, "networks"):
        network = Tied(0.5).double()
    inner, outer = unroll(network, network)
    forward = problems.WAYS["forward"](inner.derivatives.loss)
    problem = InnerProblem(inner.initial, inner.controls, inner.batches, forward, inner.optimiser)
    found, wanted = Stored().outer_gradient(problem, outer), Direct().outer_gradient(inner, outer)
    assert problems.relative(found.controls[0], wanted.controls[0]) < 1e-9


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_dropping_on_cuda_moves_no_generator() -> None:
    with seeds.isolated(0, "networks"):
        network = Tied(0.5).cuda()
    function, before = Functional(network), torch.cuda.get_rng_state()
    inputs = torch.ones(20, 4, device="cuda")
    one, same = (function(*function.split(network), inputs, torch.tensor(1)) for _ in range(2))
    assert torch.equal(one, same)
    assert torch.equal(before, torch.cuda.get_rng_state())
