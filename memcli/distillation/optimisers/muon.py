"""Muon [Jordan] for bases and dense addresses, Adam for the rest.

Muon orthogonalises the step of a matrix, so that it moves bases, (K, pixels), and addresses, (R · classes, K), in all
their directions at once; Adam moves what is not a matrix.

[Jordan] Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024, kellerjordan.github.io.
"""

import torch
from torch import Tensor

from memcli.distillation.optimisers.adam import adam
from memcli.distillation.optimisers.base import Movers, OuterOptimiserKind


def muon(parts: dict[str, Tensor], lr: float, momentum: float) -> Movers:
    bases, addresses = parts["bases"], parts["addresses"]
    matrices = {"bases": bases.view(len(bases), -1)}
    if addresses.shape[-1] == len(bases):  # the columns of sparse ones stand for nothing
        matrices["addresses"] = addresses.view(-1, len(bases))
    # A step as large as Adam's usual one, so that one rate serves both.
    by_muon = torch.optim.Muon(
        list(matrices.values()), lr=lr, momentum=momentum, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
    )
    rest = {name: part for name, part in parts.items() if name not in matrices}
    return [(by_muon, matrices), *adam(rest, lr, momentum)]


OPTIMISER = OuterOptimiserKind(muon)
