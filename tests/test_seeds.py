"""Streams are independent, the same for ever, and leave the global generators alone."""

import itertools

import pytest
import torch

from memcli.seeds import derive, generator, isolated


def test_recorded_values() -> None:
    """Were these to change, no run of an earlier version could be repeated."""
    assert derive(0, "x") == 7480196836683545207
    assert derive(7, "init", 3, 1) == 7293159322837215812
    drawn = torch.randn(3, generator=generator(7, "init", 3, 1))
    assert drawn.tolist() == pytest.approx([0.004483935888856649, -2.7325363159179688, 1.337372899055481], abs=1e-6)


def test_streams_differ_in_each_of_their_names() -> None:
    names = list(itertools.product((0, 1, 2**63 - 1), ("init", "order", "init/0"), (0, 1, 2), (0, 1)))
    found = [derive(*name) for name in names]
    assert len(set(found)) == len(names)
    assert all(0 <= seed < 2**63 for seed in found)


def test_streams_are_not_correlated() -> None:
    one, other = (torch.randn(10_000, generator=generator(0, "order", step)) for step in (0, 1))
    assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.05


def test_a_stream_starts_anew_each_time() -> None:
    assert torch.equal(torch.rand(5, generator=generator(1, "a")), torch.rand(5, generator=generator(1, "a")))


def test_isolated_seeds_the_block_and_restores_the_state() -> None:
    before = torch.random.get_rng_state()
    with isolated(1, "init", 2):
        inside = torch.rand(5)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(inside, torch.rand(5, generator=generator(1, "init", 2)))


def test_isolated_restores_the_state_after_an_exception() -> None:
    before = torch.random.get_rng_state()

    def fail() -> None:
        with isolated(1, "init"):
            torch.rand(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(torch.random.get_rng_state(), before)
