"""Autograd through the whole unroll: the reference that every other adjoint is tested against."""

import torch

from memcli.engine.adjoint import Adjoint, OuterGradient, OuterLoss
from memcli.engine.optimiser import Tensors
from memcli.engine.problem import InnerProblem


class Direct(Adjoint):
    """Plain autograd. Obviously right, and the costliest: it keeps every activation of every step.

    Use it for small T and for tests. Memory O(T · activations).
    """

    def outer_gradient(self, problem: InnerProblem, outer_loss: OuterLoss) -> OuterGradient:
        params: Tensors = tuple(param.detach().requires_grad_() for param in problem.initial)
        controls = tuple(control.detach().requires_grad_() for control in problem.controls)
        state = problem.optimiser.start(params)
        for t in range(problem.steps):
            gradients = torch.autograd.grad(problem.loss(params, controls, t), params, create_graph=True)
            params, state = problem.optimiser.step(params, state, gradients)
        loss = outer_loss(params)
        bars = torch.autograd.grad(loss, controls, materialize_grads=True)
        return OuterGradient(loss.detach(), bars, tuple(p.detach() for p in params), problem.steps + 1, 0)
