"""The bases that rows of sparse addresses use: packed bit by bit as the page says, and what no writer writes."""

import numpy
import pytest
import torch
from torch import Tensor

from memcli.data.spec import DataSpec
from memcli.memory import support
from memcli.memory.spec import MemorySpec
from memcli.seeds import generator

DATA = DataSpec("toy", 1, 4, 4, ("a", "b", "c"), (0.5,), (0.25,))


def drawn(spec: MemorySpec) -> Tensor:
    order = torch.rand(spec.rows, 3, spec.bases, generator=generator(0, "support")).argsort(-1)
    return order[..., : spec.support].sort(-1).values


@pytest.mark.parametrize(("bases", "count", "rows"), [(2, 1, 1), (2, 1, 3), (5, 2, 7), (256, 3, 5), (257, 16, 9)])
def test_numbers_lie_bit_by_bit_without_gaps(
    bases: int, count: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = MemorySpec(DATA, bases=bases, scale=1, rows=rows, support=count)
    numbers = drawn(spec)
    packed = support.packed_support(numbers, spec)
    whole = sum(number << place * spec.index_bits for place, number in enumerate(numbers.flatten().tolist()))
    assert bytes(packed.tolist()) == whole.to_bytes(spec.payload["support"][1][0], "little")
    for piece in (1 << 16, 1):  # in one piece, and eight rows at a time
        monkeypatch.setattr(support, "_PIECE", piece)
        assert torch.equal(support.unpacked_support(packed, spec), numbers)
        assert support.support_fault(packed.numpy(), spec) == ""


@pytest.mark.parametrize("piece", [1 << 16, 1])
@pytest.mark.parametrize("row", [0, 10])
@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ((1, 0), "bases that do not ascend in a row"),
        ((3, 3), "bases that do not ascend in a row"),
        ((0, 5), "numbers of bases that do not exist"),
        ((6, 7), "numbers of bases that do not exist"),
    ],
)
def test_what_no_writer_writes_is_a_fault(
    numbers: tuple[int, int], fault: str, row: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "_PIECE", piece)
    spec = MemorySpec(DATA, bases=5, scale=1, rows=7, support=2)
    changed = drawn(spec)
    changed.view(-1, 2)[row] = torch.tensor(numbers)
    assert support.support_fault(support.packed_support(changed, spec).numpy(), spec) == fault
    assert not support.is_support(changed, spec)
    assert support.is_support(drawn(spec), spec)
    assert not support.is_support(drawn(spec) - 5, spec)


def test_the_last_bits_are_zero() -> None:
    spec = MemorySpec(DATA, bases=5, scale=1, rows=7, support=2)  # 126 bits
    packed = support.packed_support(drawn(spec), spec).numpy()
    for bit in (64, 128):
        changed = packed.copy()
        changed[-1] |= numpy.uint8(bit)
        assert support.support_fault(changed, spec) == "bits that stand for nothing"
