"""Inner problems of a few numbers, in float64, with curvature that makes every term of the adjoint matter."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from memcli import seeds
from memcli.engine import (
    SGD,
    Adam,
    Derivatives,
    ForwardOverReverse,
    Functional,
    InnerProblem,
    Loss,
    Optimiser,
    OuterLoss,
    ReverseOverReverse,
    Tensors,
)

Way = Callable[[Loss], Derivatives]
OPTIMISERS = {
    "plain": SGD(0.1),
    "momentum": SGD(0.05, 0.9),
    "nesterov": SGD(0.05, 0.9, nesterov=True),
    "decay": SGD(0.05, 0.8, nesterov=True, weight_decay=0.1),
    "adam": Adam(0.05, eps=1e-2),
    "adam-decay": Adam(0.02, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1),
}
WAYS: dict[str, Way] = {"reverse": ReverseOverReverse, "forward": ForwardOverReverse}


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def curved(
    optimiser: Optimiser, steps: int, way: Way = ReverseOverReverse, **to: torch.dtype | torch.device
) -> tuple[InnerProblem, OuterLoss]:
    """Two weights, two controls, a loss with mixed third derivatives that depends on the step."""

    def loss(params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        (theta, bias), (target, gain), (t,) = params, controls, batch
        residual = theta.sin() * gain - target * (1 + 0.1 * t) + bias
        return (residual**2).sum() + 0.1 * (theta**4).sum()

    problem = InnerProblem(
        initial=(draw(3, seed=1).to(**to), draw(3, seed=2).to(**to)),
        controls=(draw(3, seed=3).to(**to), draw(3, seed=4).to(**to)),
        batches=[(torch.tensor(float(t)).to(**to),) for t in range(steps)],
        derivatives=way(loss),
        optimiser=optimiser,
        learn_rate=True,
    )
    return problem, lambda params: (params[0] ** 2).sum() + params[1].cos().sum()


def network(
    module: nn.Module, shape: tuple[int, ...], optimiser: Optimiser, steps: int, way: Way, **to: torch.dtype
) -> tuple[InnerProblem, OuterLoss]:
    """A network trained on images and soft labels that are both controls; another minibatch in every step."""
    function = Functional(module.to(**to))
    initial = tuple(0.3 * draw(*p.shape, seed=10 + i).to(**to) for i, p in enumerate(module.parameters()))
    images, labels = draw(6, *shape, seed=5).to(**to), draw(6, 3, seed=6).to(**to)
    real, classes = draw(5, *shape, seed=7).to(**to), torch.tensor([0, 1, 2, 1, 0], device=images.device)

    def loss(params: Tensors, controls: Tensors, batch: Tensors) -> Tensor:
        (rows,) = batch
        return cross_entropy(function(params, (), controls[0][rows]), controls[1][rows].softmax(1))

    batches = [(torch.tensor([t % 6, (t + 2) % 6], device=images.device),) for t in range(steps)]
    problem = InnerProblem(initial, (images, labels), batches, way(loss), optimiser, learn_rate=True)
    return problem, lambda params: cross_entropy(function(params, (), real), classes)


def mlp(
    optimiser: Optimiser, steps: int, way: Way = ReverseOverReverse, **to: torch.dtype | torch.device
) -> tuple[InnerProblem, OuterLoss]:
    with seeds.isolated(0, "problem"):
        module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return network(module, (4,), optimiser, steps, way, **{"dtype": torch.float64, **to})


def convnet(
    optimiser: Optimiser, steps: int, way: Way = ReverseOverReverse, **to: torch.dtype | torch.device
) -> tuple[InnerProblem, OuterLoss]:
    """Convolutions, instance and group norm, ReLU, both poolings and a linear layer."""
    with seeds.isolated(0, "problem"):
        module = nn.Sequential(
            *(nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.GroupNorm(2, 2), nn.ReLU(), nn.AvgPool2d(2)),
            *(nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(4, 3)),
        )
    return network(module, (1, 4, 4), optimiser, steps, way, **{"dtype": torch.float64, **to})


PROBLEMS = {"curved": curved, "mlp": mlp, "convnet": convnet}


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def parts(gradient: object) -> list[Tensor]:
    """All that an adjoint finds, as one list: loss, weights, controls and (where asked for) the rate."""
    rate = [] if gradient.rate is None else [gradient.rate]
    return [gradient.loss, *gradient.weights, *gradient.controls, *rate]
