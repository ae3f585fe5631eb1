"""Inner problems of a few numbers, in float64, with curvature that makes every term of the adjoint matter."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from memcli import seeds
from memcli.engine import SGD, InnerProblem
from memcli.engine.optimiser import Tensors

OuterLoss = Callable[[Tensors], Tensor]


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def curved(optimiser: SGD, steps: int) -> tuple[InnerProblem, OuterLoss]:
    """Two weights, two controls, a loss with mixed third derivatives that depends on the step."""

    def loss(params: Tensors, controls: Tensors, t: int) -> Tensor:
        (theta, bias), (target, gain) = params, controls
        residual = theta.sin() * gain - target * (1 + 0.1 * t) + bias
        return (residual**2).sum() + 0.1 * (theta**4).sum()

    problem = InnerProblem(
        (draw(3, seed=1), draw(3, seed=2)), (draw(3, seed=3), draw(3, seed=4)), loss, steps, optimiser
    )
    return problem, lambda params: (params[0] ** 2).sum() + params[1].cos().sum()


def network(module: nn.Module, shape: tuple[int, ...], optimiser: SGD, steps: int) -> tuple[InnerProblem, OuterLoss]:
    """A network trained on images and soft labels that are both controls; another minibatch in every step."""
    names = [name for name, _ in module.named_parameters()]
    initial = tuple(0.3 * draw(*p.shape, seed=10 + i) for i, p in enumerate(module.parameters()))
    images, labels = draw(6, *shape, seed=5), draw(6, 3, seed=6)
    real, classes = draw(5, *shape, seed=7), torch.tensor([0, 1, 2, 1, 0])

    def logits(params: Tensors, x: Tensor) -> Tensor:
        return functional_call(module, dict(zip(names, params, strict=True)), (x,))

    def loss(params: Tensors, controls: Tensors, t: int) -> Tensor:
        rows = torch.tensor([t % 6, (t + 2) % 6])
        return cross_entropy(logits(params, controls[0][rows]), controls[1][rows].softmax(1))

    problem = InnerProblem(initial, (images, labels), loss, steps, optimiser)
    return problem, lambda params: cross_entropy(logits(params, real), classes)


def mlp(optimiser: SGD, steps: int) -> tuple[InnerProblem, OuterLoss]:
    with seeds.isolated(0, "problem"):
        module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return network(module, (4,), optimiser, steps)


def convnet(optimiser: SGD, steps: int) -> tuple[InnerProblem, OuterLoss]:
    """Convolution, instance norm, ReLU, pooling and a linear layer: the operations of ConvNet-3."""
    with seeds.isolated(0, "problem"):
        module = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1), nn.GroupNorm(2, 2), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3)
        )
    return network(module.double(), (1, 4, 4), optimiser, steps)


PROBLEMS = {"curved": curved, "mlp": mlp, "convnet": convnet}
