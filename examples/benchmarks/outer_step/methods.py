"""The methods, each from a problem to the same gradient."""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from memcli.engine import Tensors, quick_in_bfloat16
from outer_step.cell import AUTOCAST, FLOAT32, UNRECORDED, VARIANTS, Cell
from outer_step.problem import LR, MOMENTUM, SEED, Problem


def by_memcli(problem: Problem) -> Tensors:
    gradients = problem.objective.step(problem.memory, LR, problem.real, SEED, 0).gradients
    return gradients["bases"], gradients["addresses"]


def by_unroll(problem: Problem, dtype: torch.dtype = torch.float32) -> Tensors:
    """Autograd through the unroll, as one writes it in plain PyTorch."""
    network, controls = problem.network().to(dtype), problem.controls(dtype)
    params = {name: param.detach().requires_grad_() for name, param in network.named_parameters()}
    velocity = [torch.zeros_like(param) for param in params.values()]
    for images, labels in problem.recalled(*controls):
        loss = cross_entropy(functional_call(network, params, (images,)), labels)
        gradients = torch.autograd.grad(loss, list(params.values()), create_graph=True)
        velocity = [MOMENTUM * v + g for v, g in zip(velocity, gradients, strict=True)]
        params = {name: p - LR * v for (name, p), v in zip(params.items(), velocity, strict=True)}
    loss = problem.outer_loss(lambda images: functional_call(network, params, (images,)), dtype)
    return torch.autograd.grad(loss, controls)


def by_autocast(problem: Problem) -> Tensors:
    """The same where torch rounds what it holds to be safe to round."""
    with torch.autocast(problem.device.type, dtype=torch.bfloat16):
        return by_unroll(problem)


def by_higher(problem: Problem) -> Tensors:
    higher = importlib.import_module("higher")
    network, controls = problem.network(), problem.controls()
    optimiser = torch.optim.SGD(network.parameters(), lr=LR, momentum=MOMENTUM)
    with higher.innerloop_ctx(network, optimiser) as (trained, differentiable):
        for images, labels in problem.recalled(*controls):
            differentiable.step(cross_entropy(trained(images), labels))
        return torch.autograd.grad(problem.outer_loss(trained), controls)


def by_torchopt(problem: Problem) -> Tensors:
    torchopt = importlib.import_module("torchopt")
    network, controls = problem.network(), problem.controls()
    optimiser = torchopt.MetaSGD(network, lr=LR, momentum=MOMENTUM)
    for images, labels in problem.recalled(*controls):
        optimiser.step(cross_entropy(network(images), labels))
    return torch.autograd.grad(problem.outer_loss(network), controls)


METHODS: dict[str, Callable[[Problem], Tensors]] = {
    **dict.fromkeys(VARIANTS, by_memcli),
    "unroll": by_unroll,
    AUTOCAST: by_autocast,
    "higher": by_higher,
    "torchopt": by_torchopt,
}


def uncompiled(method: str) -> str:
    """The method that does the same operations without compiling them."""
    return "memcli:eager" if method in ("memcli", FLOAT32, "memcli:compiled") else method


def unavailable(cell: Cell) -> str | None:
    """Why a cell cannot be measured here, if it cannot."""
    if cell.method in ("higher", "torchopt") and importlib.util.find_spec(cell.method) is None:
        return f"{cell.method} is not installed"
    if cell.precision == "tf32" and cell.device == "cpu":
        return "TF32 needs a CUDA device"
    recorded = cell.method in VARIANTS and cell.method not in UNRECORDED
    if cell.precision == "bf16" and not recorded and cell.method != AUTOCAST:
        return "only the steps that memcli records are computed in bfloat16"
    return None


def own_precision(method: str, device: str) -> str:
    """What a method computes in where nothing else is asked for: `memcli` in what `memcli distill` would."""
    rounds = method == AUTOCAST or (method == "memcli" and quick_in_bfloat16(torch.device(device)))
    return "bf16" if rounds else "fp32"


def competitors(cell: Cell, methods: list[str], precisions: tuple[str, ...] = ()) -> list[Cell]:
    """The cell by each method, in each of the precisions or in its own."""
    if precisions:
        return [replace(cell, method=method, precision=prec) for prec in precisions for method in methods]
    return [replace(cell, method=method, precision=own_precision(method, cell.device)) for method in methods]
