"""The leading directions of many vectors, by each of its three ways, beside an SVD in float64."""

import pytest
import torch
from torch import Tensor

from memcli.errors import Interrupted
from memcli.memory import directions
from memcli.memory.directions import leading
from memcli.seeds import generator

# Sides, and the limit up to which eigenvectors of all coordinates, or of all vectors, are computed.
WAYS = {"by coordinates": (60, 40, 40), "by vectors": (40, 60, 40), "by projection": (60, 50, 40)}


def falling(count: int, coordinates: int) -> Tensor:
    """Vectors whose singular values fall as those of images do."""
    draw = torch.randn(count, coordinates, generator=generator(0, "vectors"), dtype=torch.float64)
    left, _, right = torch.linalg.svd(draw, full_matrices=False)
    values = torch.arange(1, len(right) + 1, dtype=torch.float64) ** -1.0
    return 100 * (left * values) @ right


def chosen(monkeypatch: pytest.MonkeyPatch, way: str) -> Tensor:
    count, coordinates, limit = WAYS[way]
    monkeypatch.setattr(directions, "_QUICK", limit)
    monkeypatch.setattr(directions, "_PIECE", 500)  # several pieces
    return falling(count, coordinates)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, 7, 25])
def test_every_way_finds_the_singular_vectors_strongest_first(
    way: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = chosen(monkeypatch, way)
    found = leading(vectors.float(), count, seed=0).double()
    assert found.shape == (count, vectors.shape[1])
    right = torch.linalg.svd(vectors, full_matrices=False).Vh[:count]
    cosines = (found * right).sum(1).abs() / vectors.shape[1] ** 0.5
    torch.testing.assert_close(cosines, torch.ones(count).double(), rtol=0, atol=1e-4)
    assert (found.sum(1) >= 0).all()


@pytest.mark.parametrize("way", ["by vectors", "by projection"])
def test_there_are_no_more_directions_than_the_rank(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = chosen(monkeypatch, way)
    flat = vectors.clone()
    flat[5:] = flat[:5].repeat(len(flat) // 5 - 1, 1)  # the same five again and again
    found = leading(flat.float(), 30, seed=0)
    assert len(found) == 5
    torch.testing.assert_close(found @ found.T / found.shape[1], torch.eye(5), rtol=0, atol=1e-4)


@pytest.mark.parametrize("way", ["by vectors", "by projection"])
def test_all_directions_that_there_are_can_be_asked_for(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = chosen(monkeypatch, way)
    found = leading(vectors.float(), 1_000, seed=0)
    assert len(found) == min(vectors.shape)
    spanned = vectors.float() @ found.T @ found / found.shape[1]
    torch.testing.assert_close(spanned, vectors.float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("way", ["by vectors", "by projection"])
def test_blank_vectors_have_no_direction(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = chosen(monkeypatch, way)
    assert leading(torch.zeros_like(vectors).float(), 3, seed=0).shape == (0, vectors.shape[1])


def test_a_seed_gives_the_same_directions_again(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = chosen(monkeypatch, "by projection").float()
    one, same, other = (leading(vectors, 7, seed) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)  # to the last bit, they agree to rounding


@pytest.mark.parametrize(("way", "pieces"), [("by vectors", 8), ("by projection", 8)])
def test_work_in_pieces_can_be_stopped_between_them(way: str, pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = chosen(monkeypatch, way).float()
    begun: list[None] = []
    whole = leading(vectors, 7, 0, lambda: begun.append(None))
    assert len(begun) >= pieces
    assert torch.equal(whole, leading(vectors, 7, 0))

    def stop() -> None:
        raise Interrupted("stopped", do="Go on")

    with pytest.raises(Interrupted):
        leading(vectors, 7, 0, stop)
