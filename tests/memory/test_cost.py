"""What recalling costs, counted by hand."""

from dataclasses import replace

from memcli.data.spec import DataSpec
from memcli.memory import cost
from memcli.memory.spec import MemorySpec

DATA = DataSpec("toy", 3, 8, 8, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
SPEC = MemorySpec(DATA, bases=5, scale=2, rows=4)


def test_operations_of_an_image() -> None:
    of_bases = 20 * 5 + 2 * 5 * 3 * 4 * 4
    enlarging = 2 * 3 * (4 * 4 * 8 + 8 * 4 * 8)
    assert cost.operations(SPEC, mixed=False) == of_bases + enlarging
    assert cost.operations(SPEC, mixed=True) == of_bases + enlarging + 20 * 5
    assert cost.operations(replace(SPEC, scale=1), mixed=False) == 20 * 5 + 2 * 5 * 3 * 64
    assert cost.operations(replace(SPEC, scale=1, cells=7), mixed=False) == 20 * 5 + 2 * 5 * 3 * 7 + 2 * 3 * 7 * 64
    assert cost.operations(replace(SPEC, support=2), mixed=False) == of_bases + enlarging + 20 * 6
    assert cost.operations(replace(SPEC, labels="row"), mixed=False) == of_bases + enlarging + 20 * 4


def test_images_at_once_are_as_many_as_a_gigabyte_holds() -> None:
    assert cost.held_bytes(SPEC, mixed=True) == 4 * (2 * 5 + 4 * (2 + 192))
    assert cost.held_bytes(replace(SPEC, support=2), mixed=True) == 4 * (2 * (5 + 6) + 4 * (2 + 192))
    assert cost.at_once(SPEC, 256) == 256
    large = MemorySpec(replace(DATA, height=2048, width=2048), bases=1, scale=1, rows=4)
    assert cost.at_once(large, 256) == cost.CHUNK_BYTES // cost.held_bytes(large, mixed=False) == 5
    many = MemorySpec(replace(DATA, classes=tuple(map(str, range(40_000)))), bases=200, scale=1, rows=1)
    assert cost.at_once(many, 256) == 256
    assert cost.at_once(many, 256, mixed=True) * 4 * 40_000 * 200 < cost.CHUNK_BYTES
    assert cost.at_once(replace(many, bases=10_000), 256, mixed=True) == 1
    assert cost.at_once(replace(many, labels="row"), 256) == 1
