"""The leading directions of many vectors: by all eigenvectors where they are quick, by a random subspace beyond."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from memcli import seeds

_QUICK = 2_048  # the side up to which all eigenvectors of a matrix take a second or two
_PIECE = 1 << 24  # numbers that are widened to float64 at once
_PASSES, _MORE = 7, 10  # of subspace iteration; and directions that are sought besides half as many again as wanted
_LEAST = 1e-6  # of the largest singular value: those below are rounding


def leading(vectors: Tensor, count: int, seed: int, between: Callable[[], None] = lambda: None) -> Tensor:
    """The leading right singular vectors of `vectors`, (n, m): at most `count`, (≤count, m), strongest first.

    Each has a root mean square of 1, and a sum of 0 or more. There are fewer than `count` where m, or for more than
    2,048 coordinates the rank, is less. Where the smaller side is at most 2,048 they are exact to rounding; else they
    come of subspace iteration, from a random subspace half as large again as asked for [HMT], and their span holds all
    but about 10⁻⁷ of what it could. `between()` is called between pieces of work of a few seconds, and may raise.

    [HMT] Halko, Martinsson, Tropp, "Finding structure with randomness", SIAM Review 53, 2011, algorithm 4.4.
    """
    images, coordinates = vectors.shape
    if coordinates <= _QUICK:
        found = _eigenvectors(vectors.T @ vectors, min(count, coordinates))
    elif images <= _QUICK:
        found = _by_images(vectors, count, between)
    else:
        found = _by_projection(vectors, count, seed, between)
    found = found.T.float() * math.sqrt(coordinates)
    return found * torch.where(found.sum(1, keepdim=True) < 0, -1, 1)  # the sign of a singular vector is arbitrary


def _eigenvectors(products: Tensor, count: int) -> Tensor:
    """The `count` leading eigenvectors of a symmetric matrix, in columns, strongest first."""
    return torch.linalg.eigh(products.double()).eigenvectors[:, -count:].flip(1)  # eigenvalues ascend


def _by_images(vectors: Tensor, count: int, between: Callable[[], None]) -> Tensor:
    """V = Xᵀ U / σ, (m, ≤count), where X Xᵀ = U σ² Uᵀ has the smaller side, n."""
    pieces = vectors.split(max(1, _PIECE // len(vectors)), 1)
    products = vectors.new_zeros(len(vectors), len(vectors), dtype=torch.float64)
    for piece in pieces:
        between()
        wide = piece.double()
        products.addmm_(wide, wide.T)
    squares, own = torch.linalg.eigh(products)
    values = squares.clamp(min=0).sqrt()
    rank = int((values > _LEAST * values[-1]).sum())
    chosen = (own / values)[:, len(own) - min(count, rank) :].flip(1)
    found = []
    for piece in pieces:
        between()
        found.append((piece.double().T @ chosen).float())
    return torch.cat(found)


def _by_projection(vectors: Tensor, count: int, seed: int, between: Callable[[], None]) -> Tensor:
    """Orthonormal V, (m, ≤count), from the span that X Xᵀ X ... turns a random one to."""
    sought = min(count + count // 2 + _MORE, *vectors.shape)
    span = torch.randn(vectors.shape[1], sought, generator=seeds.generator(seed, "start directions"))
    for _ in range(_PASSES):
        between()
        span = torch.linalg.qr(vectors.T @ (vectors @ span)).Q
    between()
    _, values, turned = torch.linalg.svd(vectors @ span, full_matrices=False)
    rank = int((values > _LEAST * values[0]).sum())
    return span @ turned[: min(count, rank)].T
