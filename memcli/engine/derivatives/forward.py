"""Forward over reverse: the gradient of dual numbers."""

import warnings

import torch
from torch.autograd import forward_ad

from memcli.engine.derivatives.base import Derivatives, Direction, Loss, Products, training_gradient
from memcli.engine.tensors import Tensors, leaves
from memcli.errors import UsageError
from memcli.text import printable


class ForwardOverReverse(Derivatives):
    """Runs the loss and its gradient on θ + ε a: the part in ε of (∇_θ L, ∇_c L) is both second-order products.

    The gradient need not be recorded, which saves time and memory. Some operations of torch (group norm, SiLU) have a
    backward pass with a forward derivative only while it is recorded: after the first refusal the gradient is always
    recorded. A direction that depends on the gradient costs one more reverse pass.

    Raises UsageError where an operation has no forward derivative at all.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self._recorded = False
        _load_rules()

    def gradient(self, params: Tensors, controls: Tensors, batch: Tensors) -> Tensors:
        return training_gradient(self.loss, params, controls, batch)

    def products(self, params: Tensors, controls: Tensors, batch: Tensors, direction: Direction) -> Products:
        if callable(direction):
            direction = direction(self.gradient(params, controls, batch))
        if not self._recorded:
            try:
                return self._pushed(params, controls, batch, direction)
            except NotImplementedError:
                self._recorded = True
        try:
            return self._pushed(params, controls, batch, direction)
        except NotImplementedError as error:
            raise UsageError(
                f"the loss has an operation without a forward derivative: {printable(str(error).splitlines()[0])}",
                do="Differentiate it with ReverseOverReverse",
            ) from error

    def _pushed(self, params: Tensors, controls: Tensors, batch: Tensors, tangents: Tensors) -> Products:
        count = len(params)
        with forward_ad.dual_level():
            primals, controls = leaves(params), leaves(controls)
            duals = tuple(forward_ad.make_dual(p, a) for p, a in zip(primals, tangents, strict=True))
            loss = self.loss(duals, controls, batch)
            gradients = torch.autograd.grad(loss, duals + controls, create_graph=self._recorded, materialize_grads=True)
            pairs = [forward_ad.unpack_dual(gradient) for gradient in gradients]
        second = tuple(torch.zeros_like(p) if t is None else t.detach() for p, t in pairs)
        return Products(tangents, second[:count], second[count:])


def _load_rules() -> None:
    """Make torch load its rules of forward derivatives now: it does so at the first dual number, with a warning."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", FutureWarning)
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))
