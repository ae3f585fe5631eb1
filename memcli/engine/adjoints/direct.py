"""Autograd through the whole unroll: the reference that every other adjoint is tested against."""

import torch
from torch import Tensor

from memcli.engine.adjoints.base import Adjoint, OuterGradient, OuterLoss
from memcli.engine.adjoints.sweep import start, vectors
from memcli.engine.optimisers import descend
from memcli.engine.problem import InnerProblem
from memcli.engine.tensors import leaves


class Direct(Adjoint):
    """Plain autograd. The simplest, and the costliest: it keeps every activation of every step.

    Use it for small T and for tests. Memory O(T · activations). Of the problem's derivatives it uses only the loss.
    """

    def outer_gradient(self, problem: InnerProblem, outer_loss: OuterLoss) -> OuterGradient:
        optimiser, begin = problem.optimiser, start(problem)
        params, controls, state = leaves(begin.weights), leaves(problem.controls), begin.state
        # The rate is lr · exp(log_ratio), so that the derivative with respect to log_ratio is d log lr.
        log_ratio = params[0].new_zeros((), requires_grad=True)
        rate: float | Tensor = optimiser.lr * log_ratio.exp() if problem.learn_rate else optimiser.lr
        for t, batch in enumerate(problem.batches):
            loss = problem.derivatives.loss(params, controls, batch)
            gradients = torch.autograd.grad(loss, params, create_graph=True, materialize_grads=True)
            update, state = optimiser.update(params, state, gradients, problem.taken + t)
            params = descend(params, update, rate)
        loss = outer_loss(params)
        *bars, rate_bar = torch.autograd.grad(loss, (*controls, log_ratio), materialize_grads=True)
        return OuterGradient(
            loss=loss.detach(),
            controls=tuple(bars),
            weights=tuple(param.detach() for param in params),
            state=tuple(part.detach() for part in state),
            rate=rate_bar if problem.learn_rate else None,
            states=vectors([begin]) * (problem.steps + 1),
            recomputed=0,
        )
