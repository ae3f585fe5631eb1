"""Sparse addresses of images: which few bases approximate each best, and with which numbers."""

from collections.abc import Callable

import torch
from torch import Tensor

_PIECE = 1 << 22  # numbers of products of bases that are gathered at once
_ROUNDS = 5  # of fitting bases to vectors (docs/log/)
_RIDGE, _FITTED = 1e-6, 1e-3  # of the solved products' diagonal: bases may be alike


def pursued(vectors: Tensor, bases: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The numbers, (n, k), and the bases, (n, k) int64 and ascending, whose combinations are near `vectors`, (n, m).

    By orthogonal matching pursuit [OMP]: `count` = k times, the basis that has most in common with what is left of a
    vector is added, and the numbers of all that were chosen are fitted anew. `bases` is (K, m), K > k.

    [OMP] Pati, Rezaiifar, Krishnaprasad, "Orthogonal matching pursuit", Asilomar 1993.
    """
    products = bases @ bases.T / bases.shape[1] if count > 1 else None  # (K, K): of a library too many, and not needed
    sizes = bases.square().mean(1)
    found = []
    for piece in vectors.split(_size(bases, count)):
        common = piece @ bases.T / bases.shape[1]
        found.append(_nearest(common, sizes) if products is None else _of_piece(common, products, count))
    values, chosen = (torch.cat(parts) for parts in zip(*found, strict=True))
    chosen, order = chosen.sort(1)
    return values.gather(1, order), chosen


def dictionary(vectors: Tensor, bases: Tensor, count: int, between: Callable[[], None] = lambda: None) -> Tensor:
    """Bases, (K, m), whose combinations of `count` approximate all of `vectors`, (n, m), from `bases` to start with.

    The method of optimal directions [MOD]: vectors are pursued, and the bases fitted to them by least squares, in
    turns. Each has a root mean square of 1; one that no vector uses stays as it was. `between()` is called in between.

    [MOD] Engan, Aase, Husøy, "Method of optimal directions for frame design", ICASSP 1999.
    """
    for _ in range(_ROUNDS):
        between()
        values, chosen = pursued(vectors, bases, count)
        addresses = vectors.new_zeros(len(vectors), len(bases)).scatter(1, chosen, values)
        products = addresses.T @ addresses
        ridge = _FITTED * products.diagonal().mean() * torch.eye(len(bases), device=bases.device)
        fitted = torch.linalg.solve(products + ridge, addresses.T @ vectors)
        used = (addresses != 0).any(0).unsqueeze(1)
        bases = torch.where(used, of_size_one(fitted), bases)
    return bases


def levelled(values: Tensor, chosen: Tensor, bases: Tensor) -> tuple[Tensor, Tensor]:
    """The same combinations, with each basis as large as makes the largest of its numbers 1.

    Numbers that share a scale are rounded by a share of the largest, which is then near to each. `values` and `chosen`
    are of any one shape, `bases` (K, m). What no vector uses stays.
    """
    peaks = values.new_zeros(len(bases)).scatter_reduce(0, chosen.flatten(), values.abs().flatten(), "amax")
    peaks = peaks.where(peaks > 0, 1.0)
    return values / peaks[chosen], bases * peaks.unsqueeze(1)


def of_size_one(vectors: Tensor) -> Tensor:
    """`vectors`, (n, m), each with a root mean square of 1; where it is 0 it stays 0."""
    return vectors / vectors.square().mean(1, keepdim=True).sqrt().clamp(min=1e-12)


def _size(bases: Tensor, count: int) -> int:
    return max(1, _PIECE // (len(bases) * count))


def _nearest(common: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """The best number and the best single basis, both (n, 1), from products (n, K) and the bases' own, (K,)."""
    sizes = sizes.clamp(min=1e-12)
    chosen = (common.abs() / sizes.sqrt()).argmax(1, keepdim=True)
    return common.gather(1, chosen) / sizes[chosen], chosen


def _of_piece(common: Tensor, products: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The same from the vectors' products with the bases, (n, K), and those of the bases; in the order of choice."""
    left, chosen = common, common.new_empty(len(common), 0, dtype=torch.int64)
    strength = products.diagonal().clamp(min=1e-12).sqrt()
    values = common[:, :0]
    for _ in range(count):
        score = (left / strength).abs().scatter(1, chosen, -1.0)  # none twice
        chosen = torch.cat([chosen, score.argmax(1, keepdim=True)], 1)
        rows = products[chosen]  # (n, i, K)
        among = rows.gather(2, chosen.unsqueeze(1).expand(-1, chosen.shape[1], -1))  # (n, i, i)
        among = among + _RIDGE * torch.diag_embed(among.diagonal(dim1=1, dim2=2))
        wanted = common.gather(1, chosen)
        values = torch.linalg.solve(among, wanted.unsqueeze(2)).squeeze(2)
        left = common - (values.unsqueeze(1) @ rows).squeeze(1)
    return values, chosen
