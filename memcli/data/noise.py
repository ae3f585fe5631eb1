"""Gaussian noise on images, as far as a network can see it.

Of noise n on the pixels, a linear first layer W (hidden units, pixels) sees W n: the part of n in the span of its rows.
The rest changes no output. It only reaches the gradient Σ δ (x + n)ᵀ of W, where its mean is 0 and its variance large.
So where the first layer is linear, noise is drawn in that span alone. Outputs are distributed as under noise on all
pixels, and the gradient is that one's mean given the outputs: the same on average, and less noisy (Rao & Blackwell).
Outputs alone would be the local reparameterisation of Kingma, Salimans & Welling, NeurIPS 2015.
"""

import torch
from torch import Tensor, nn

_RIDGE = 1e-4  # of the mean squared length of a row: rows that nearly depend on each other have no span of their own


@torch.no_grad()
def noise_like(images: Tensor, first: nn.Linear | None, draw: torch.Generator) -> Tensor:
    """Standard normal noise for `images`, (n, C, H, W) and on their device; what of it the layer `first` can see.

    Where `first` is None, takes no whole image, or has as many outputs as inputs, noise is independent on every number.
    `draw` is a generator of the CPU, so that noise is the same on every device.
    """
    if first is None or not first.out_features < first.in_features == images[0].numel():
        return torch.randn(images.shape, generator=draw).to(images)
    rows = first.weight
    gram = rows @ rows.T
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean() + torch.finfo(gram.dtype).tiny)
    root = torch.linalg.cholesky_ex(gram).L  # of weights that are not finite it is not, and training says so
    drawn = torch.randn(len(images), len(rows), generator=draw).to(images)
    seen: Tensor = torch.linalg.solve_triangular(root, drawn, upper=False, left=False) @ rows
    return seen.view(images.shape)
