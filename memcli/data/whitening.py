"""ZCA whitening of images [ZCA], for a covariance that depends on the distance of two pixels alone.

The covariance of images has (C·H·W)² numbers, far more than a memory. Averaged over places and directions it is, at
every spatial frequency, one (C, C) matrix S that depends on the frequency's length alone; lengths are rounded to whole
cycles along the longer side of the image, and frequencies of one rounded length are a ring. The symmetric root of its
inverse, which is ZCA, then acts on each ring alone:

    W_r = α (S_r + ε m I)^(-1/2)          S_r = mean over images and frequencies of the ring of Re f fᴴ

with f the (C,) Fourier coefficients of a normalised image, m the mean of all eigenvalues, ε the regulariser [KIP], and
α such that whitened images have a mean square of 1. A data set's spec holds the W_r as their Cholesky factors: whatever
finite numbers with positive diagonals stand there, whitening can be inverted.

[ZCA] Bell, Sejnowski, "The 'independent components' of natural scenes are edge filters", Vision Research 37, 1997.
[KIP] Nguyen et al., "Dataset distillation with infinitely wide convolutional networks", NeurIPS 2021 (regularised ZCA).
"""

from collections.abc import Iterable
from functools import lru_cache

import torch
from torch import Tensor

from memcli.data.spec import DataSpec

REGULARISER = 0.1  # ε, as a share of the mean eigenvalue: [KIP]'s for CIFAR-10


def whitened(images: Tensor, data: DataSpec) -> Tensor:
    """W applied to normalised images, (n, C, H, W); the same images where `data` has no whitening."""
    return _filtered(images, data, inverse=False)


def unwhitened(images: Tensor, data: DataSpec) -> Tensor:
    """The inverse of `whitened`: normalised images, (n, C, H, W)."""
    return _filtered(images, data, inverse=True)


def fitted(batches: Iterable[Tensor], data: DataSpec, regulariser: float = REGULARISER) -> tuple[float, ...]:
    """The numbers of `DataSpec.zca`: the factors of W_r, ring after ring, each by the rows of its lower triangle.

    `batches`: normalised images, (n, C, H, W), in any number of parts. Raises UsageError for images that are too large.
    """
    data.require_whitenable()
    rings = _rings(data.height, data.width, data.rings).flatten()  # (H·W,)
    sums = torch.zeros(data.rings, data.channels, data.channels, dtype=torch.float64)
    count = 0
    for images in batches:
        spectrum = torch.fft.fft2(images.double(), norm="ortho").flatten(2)  # (n, C, H·W)
        products = torch.einsum("ncf,ndf->fcd", spectrum, spectrum.conj()).real
        sums.index_add_(0, rings, products)
        count += len(images)
    sizes = torch.bincount(rings, minlength=data.rings).clamp(min=1).double()  # a long image leaves some rings empty
    covariance = sums / (count * sizes.view(-1, 1, 1))
    values, vectors = torch.linalg.eigh(covariance)
    values = values.clamp(min=0)
    everywhere = data.channels * data.height * data.width
    mean = (sizes @ values).sum() / everywhere
    if mean:
        gains = (values + regulariser * mean).rsqrt()
        gains /= ((sizes @ (values * gains.square())).sum() / everywhere).sqrt()  # α
    else:  # blank images stay as they are
        gains = torch.ones_like(values)
    factors = torch.linalg.cholesky((vectors * gains.unsqueeze(1)) @ vectors.mT)
    rows, columns = torch.tril_indices(data.channels, data.channels)
    return tuple(factors[:, rows, columns].float().flatten().tolist())


def _rings(height: int, width: int, count: int) -> Tensor:
    """The ring of every frequency, (H, W) int64, in the order of `torch.fft.fft2`."""
    down, across = (torch.fft.fftfreq(side, dtype=torch.float64) for side in (height, width))
    length = (down.unsqueeze(1).square() + across.square()).sqrt()  # cycles a pixel
    return (length * max(height, width) + 0.5).long().clamp(max=count - 1)


@lru_cache(maxsize=8)
def _matrices(data: DataSpec, inverse: bool) -> Tensor:
    """W, or its inverse, at every frequency that `torch.fft.rfft2` has: (H, W // 2 + 1, C, C) float64."""
    rows, columns = torch.tril_indices(data.channels, data.channels)
    factors = torch.zeros(data.rings, data.channels, data.channels, dtype=torch.float64)
    factors[:, rows, columns] = torch.tensor(data.zca, dtype=torch.float64).view(data.rings, -1)
    matrices = torch.cholesky_inverse(factors) if inverse else factors @ factors.mT
    return matrices[_rings(data.height, data.width, data.rings)[:, : data.width // 2 + 1]]


def _filtered(images: Tensor, data: DataSpec, *, inverse: bool) -> Tensor:
    if not data.zca:
        return images
    spectrum = torch.fft.rfft2(images)
    matrices = _matrices(data, inverse).to(device=images.device, dtype=spectrum.dtype)
    return torch.fft.irfft2(torch.einsum("nchw,hwdc->ndhw", spectrum, matrices), s=images.shape[-2:])
