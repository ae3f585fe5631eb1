"""Gaussian noise on images, without the part that changes no output of the network.

Noise n on the pixels changes the outputs of a linear first layer W (hidden units, pixels) by W n: only the part of n in
the span of the rows counts. The rest is only in the gradient Σ δ (x + n)ᵀ of W, where its mean is 0 and its variance
large. So where the first layer is linear, noise is drawn in that span alone. Outputs are distributed as under noise on
all pixels, and the gradient is the mean of that one given the outputs: the same on average, with less variance (Rao &
Blackwell).
Outputs alone would be the local reparameterisation of Kingma, Salimans & Welling, NeurIPS 2015.
"""

import torch
from torch import Tensor, nn

_RIDGE = 1e-4  # of the mean squared length of a row: rows that nearly depend on each other have no span of their own


@torch.no_grad()
def noise_like(images: Tensor, first: nn.Linear | None, draw: torch.Generator) -> Tensor:
    """Standard normal noise for `images`, (n, C, H, W) and on their device, in the span of the rows of `first`.

    Where `first` is None, takes no whole image, or has as many outputs as inputs, noise is independent on every number.
    `draw` is a generator of the CPU, so that noise is the same on every device.
    """
    if first is None or not first.out_features < first.in_features == images[0].numel():
        return torch.randn(images.shape, generator=draw).to(images)
    rows = first.weight
    gram = rows @ rows.T
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean() + torch.finfo(gram.dtype).tiny)
    root = torch.linalg.cholesky_ex(gram).L  # not finite for weights that are not; training then raises an error
    drawn = torch.randn(len(images), len(rows), generator=draw).to(images)
    seen: Tensor = torch.linalg.solve_triangular(root, drawn, upper=False, left=False) @ rows
    return seen.view(images.shape)
