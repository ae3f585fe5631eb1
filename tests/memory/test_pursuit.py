"""Sparse addresses: a greedy search that is exact where it must be, and bases that are fitted to it."""

import itertools

import pytest
import torch

from memcli.memory import pursuit
from memcli.memory.pursuit import dictionary, levelled, of_size_one, pursued
from memcli.seeds import generator

BASES = of_size_one(torch.randn(6, 40, generator=generator(0, "bases")))
VECTORS = torch.randn(30, 40, generator=generator(0, "vectors"))


def errors(vectors: torch.Tensor, bases: torch.Tensor, count: int) -> torch.Tensor:
    values, chosen = pursued(vectors, bases, count)
    return (vectors - (values.unsqueeze(1) @ bases[chosen]).squeeze(1)).square().sum(1)


@pytest.mark.parametrize("piece", [1 << 22, 1])
def test_what_is_made_of_few_bases_is_found(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pursuit, "_PIECE", piece)
    pairs = torch.tensor(list(itertools.combinations(range(6), 2)))
    weights = torch.tensor([2.0, -1.0]).expand(len(pairs), 2)
    values, chosen = pursued((weights.unsqueeze(1) @ BASES[pairs]).squeeze(1), BASES, 2)
    assert torch.equal(chosen, pairs)
    torch.testing.assert_close(values, weights, rtol=0, atol=1e-4)


def test_the_numbers_are_the_best_for_the_bases_that_were_chosen() -> None:
    values, chosen = pursued(VECTORS, BASES, 3)
    assert (chosen[:, 1:] > chosen[:, :-1]).all()
    for vector, found, own in zip(VECTORS, values, chosen, strict=True):
        best = torch.linalg.lstsq(BASES[own].T, vector.unsqueeze(1)).solution.flatten()
        torch.testing.assert_close(found, best, rtol=0, atol=1e-4)
    one, two, three = (errors(VECTORS, BASES, count) for count in (1, 2, 3))
    assert ((one >= two) & (two >= three)).all()
    projections = (VECTORS @ BASES.T).square() / BASES.square().sum(1)
    torch.testing.assert_close(one, VECTORS.square().sum(1) - projections.amax(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2])
def test_bases_that_are_alike_or_zero_give_finite_numbers(count: int) -> None:
    values, chosen = pursued(VECTORS, torch.cat([BASES[:1], BASES[:1], torch.zeros(1, 40)]), count)
    assert values.isfinite().all()
    assert (chosen[:, 1:] > chosen[:, :-1]).all()
    assert (chosen[:, 0] < 2).all(), "a basis of nothing was chosen first"


def test_a_dictionary_is_nearer_than_what_it_began_from() -> None:
    begin = of_size_one(VECTORS[:6])
    calls = []
    fitted = dictionary(VECTORS, begin, 2, lambda: calls.append(None))
    assert errors(VECTORS, fitted, 2).sum() < 0.95 * errors(VECTORS, begin, 2).sum()
    torch.testing.assert_close(fitted.square().mean(1), torch.ones(6))
    assert len(calls) == 5
    strangers = torch.cat([begin, torch.zeros(1, 40)])
    assert torch.equal(dictionary(VECTORS, strangers, 2)[6], strangers[6]), "one that nobody uses stays"


def test_levelled_numbers_are_of_the_same_vectors_and_rounded_by_less() -> None:
    values, chosen = pursued(VECTORS, BASES * torch.logspace(0, 2, 6).unsqueeze(1), 2)
    bases = torch.cat([BASES * torch.logspace(0, 2, 6).unsqueeze(1), torch.ones(1, 40)])
    level, larger = levelled(values, chosen, bases)
    torch.testing.assert_close(
        (level.unsqueeze(1) @ larger[chosen]).squeeze(1), (values.unsqueeze(1) @ bases[chosen]).squeeze(1)
    )
    for basis in range(6):
        assert level[chosen == basis].abs().max() == 1
    assert torch.equal(larger[6], bases[6]), "one that nobody uses stays"
