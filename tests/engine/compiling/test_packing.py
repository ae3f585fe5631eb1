"""Tensors packed into one vector come back as they were, laid out as they were, and are differentiated through."""

import torch
from engine_problems import draw
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from memcli.engine import Packing
from memcli.seeds import isolated

TENSORS = (
    draw(4, 3, 3, 3, seed=1).to(memory_format=torch.channels_last),
    draw(5, seed=2),
    draw(2, 6, seed=3).T,
    draw(seed=4),
)


def test_what_is_packed_comes_back_with_its_layout() -> None:
    packing = Packing(TENSORS)
    vector = packing.packed(TENSORS)
    found = packing.unpacked(vector)
    for one, other in zip(found, TENSORS, strict=True):
        assert torch.equal(one, other)
        assert one.stride() == other.stride()
        assert one.storage_offset() % 8 == 0, "64 bytes are 8 numbers"
        assert one.data_ptr() - vector.data_ptr() == 8 * one.storage_offset(), "a view"
    assert len(vector) == 112 + 8 + 16 + 8
    assert vector.count_nonzero() == sum(t.numel() for t in TENSORS), "zeros between them"


def test_other_tensors_of_the_same_shapes_are_packed_alike() -> None:
    packing = Packing(TENSORS)
    contiguous = tuple(t.contiguous() for t in TENSORS)
    assert torch.equal(packing.packed(contiguous), packing.packed(TENSORS))


def test_both_directions_are_differentiable_twice() -> None:
    packing = Packing(TENSORS)
    leaves = [t.detach().requires_grad_() for t in TENSORS]
    vector = packing.packed(TENSORS).requires_grad_()

    def cubed(vector: Tensor) -> Tensor:
        return torch.stack([(part**3).sum() for part in packing.unpacked(vector)])

    with isolated(0, "what gradgradcheck draws"):
        assert gradcheck(lambda *tensors: packing.packed(tensors) ** 2, leaves)
        assert gradcheck(cubed, vector)
        assert gradgradcheck(cubed, vector)


def test_weights_of_a_network_lie_in_one_vector() -> None:
    with isolated(0, "weights"):
        network = nn.Conv2d(8, 16, 3).to(memory_format=torch.channels_last)
    weights = tuple(p.detach() for p in network.parameters())
    packing = Packing(weights)
    assert len(packing.packed(weights)) == 16 * 8 * 9 + 16
    assert packing.unpacked(packing.packed(weights))[0].is_contiguous(memory_format=torch.channels_last)
