"""The step-wise adjoint: keeps the weights of every step, and never a step's activations."""

import torch

from memcli.engine.adjoint import Adjoint, OuterGradient, OuterLoss
from memcli.engine.optimiser import Tensors
from memcli.engine.problem import InnerProblem


class Stored(Adjoint):
    """Exact, and the default: memory O(T · |θ|) plus the activations of one step; each step is run twice.

    The derivation is in docs/derivations/adjoint.md. [RTP, sec. 3.3]; Maclaurin et al., ICML 2015.
    """

    def outer_gradient(self, problem: InnerProblem, outer_loss: OuterLoss) -> OuterGradient:
        weights = [tuple(param.detach() for param in problem.initial)]
        state = problem.optimiser.start(weights[0])
        for t in range(problem.steps):
            stepped, state = problem.optimiser.step(weights[-1], state, _training_gradient(problem, weights[-1], t))
            weights.append(stepped)
        del state  # the backward sweep needs no velocities

        states = len(weights)
        final = tuple(param.requires_grad_() for param in weights.pop())
        loss = outer_loss(final)
        weights_bar = torch.autograd.grad(loss, final, materialize_grads=True)  # λ
        state_bar: Tensors = tuple(torch.zeros_like(bar) for bar in weights_bar)  # ν
        controls_bar: Tensors = tuple(torch.zeros_like(control) for control in problem.controls)
        for t in reversed(range(problem.steps)):
            gradient_bar, state_bar = problem.optimiser.pull_back(weights_bar, state_bar)  # a, ν
            curvature, mixed = _second_order_products(problem, weights.pop(), gradient_bar, t)
            weights_bar = tuple(bar + more for bar, more in zip(weights_bar, curvature, strict=True))
            controls_bar = tuple(bar + more for bar, more in zip(controls_bar, mixed, strict=True))
        return OuterGradient(loss.detach(), controls_bar, tuple(p.detach() for p in final), states, problem.steps)


def _training_gradient(problem: InnerProblem, weights: Tensors, t: int) -> Tensors:
    """∇_θ L(θ_t)."""
    params = tuple(param.detach().requires_grad_() for param in weights)
    return torch.autograd.grad(problem.loss(params, problem.controls, t), params, materialize_grads=True)


def _second_order_products(
    problem: InnerProblem, weights: Tensors, gradient_bar: Tensors, t: int
) -> tuple[Tensors, Tensors]:
    """∇²_θθ L(θ_t) a and ∂_c ⟨∇_θ L(θ_t), a⟩, from one reverse-over-reverse pass."""
    params = tuple(param.detach().requires_grad_() for param in weights)
    controls = tuple(control.detach().requires_grad_() for control in problem.controls)
    gradients = torch.autograd.grad(problem.loss(params, controls, t), params, create_graph=True)
    bars = torch.autograd.grad(gradients, params + controls, gradient_bar, materialize_grads=True)
    return bars[: len(params)], bars[len(params) :]
