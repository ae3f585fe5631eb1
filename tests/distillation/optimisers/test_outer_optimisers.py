"""Outer optimisers move every part, and tell what a checkpoint can hold."""

import pytest
import torch

from memcli.distillation.optimisers import OUTER_OPTIMISERS


@pytest.mark.parametrize("name", OUTER_OPTIMISERS)
def test_every_part_is_moved_by_one_optimiser(name: str) -> None:
    shapes = {"bases": (3, 1, 4, 4), "addresses": (5, 2, 3), "labels": (2, 2), "log_lr": ()}
    parts = {part: torch.ones(shape) for part, shape in shapes.items()}
    movers = OUTER_OPTIMISERS[name].make(parts, 0.1, 0.9)
    assert sorted(part for _, moved in movers for part in moved) == sorted(parts)
    for optimiser, moved in movers:
        for tensor in moved.values():
            tensor.grad = torch.linspace(-1, 2, tensor.numel()).view(tensor.shape)
        optimiser.step()
        state = [value for tensor in moved.values() for value in optimiser.state[tensor].values()]
        assert state, "with momentum there is something to remember"
        assert all(isinstance(value, torch.Tensor) for value in state)
    assert all((part != 1).any() for part in parts.values())
