"""The gradient of a minibatch, in parts where memory does not suffice for all of its images at once."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from memcli.engine import free_cache
from memcli.errors import LimitError, out_of_memory
from memcli.networks import mixes_images
from memcli.progress import Progress


class MinibatchGradient:
    """The gradient of a minibatch's loss: of all images at once or, where memory does not suffice, added over parts."""

    def __init__(self, network: nn.Module, progress: Progress) -> None:
        self._network, self._progress = network, progress
        self._most = 0  # images at once; 0: all

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Leave the gradient in the network, and return the loss, a scalar without a graph."""
        while True:
            try:
                self._network.zero_grad()
                return self._added(images, labels)
            except Exception as error:
                what = out_of_memory(error)
                if what is None:
                    raise
            free_cache(images.device)  # here, where no traceback holds the activations
            self._lighten(len(images), what)

    def _added(self, images: Tensor, labels: Tensor) -> Tensor:
        if not self._most:
            loss = cross_entropy(self._network(images), labels)
            loss.backward()
            return loss.detach()
        losses = []
        for some, own in zip(images.split(self._most), labels.split(self._most), strict=True):
            loss = cross_entropy(self._network(some), own) * (len(some) / len(images))
            loss.backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _lighten(self, size: int, what: str) -> None:
        """Halve the images at once; `what` ran out of memory for a minibatch of `size`."""
        if mixes_images(self._network):
            raise LimitError(
                f"the {what} ran out of memory, and this network normalises over all {size} images of a minibatch, so"
                " that no part of them can be done alone",
                do="Train on smaller minibatches, another network, or a machine with more memory",
            )
        most = (self._most or size) // 2
        if most < 1:
            raise LimitError(
                f"the {what} ran out of memory on one image",
                do="Train a smaller network, or use a machine with more memory",
            )
        if not self._most:
            self._progress.note(
                f"the {what} ran out of memory: minibatches are done in parts, with the same gradient to rounding"
            )
        self._most = most
