"""Networks as pure functions of their parameters."""

from torch import Tensor, nn
from torch.func import functional_call

from memcli.engine.tensors import Tensors
from memcli.seeds import seeded


class Functional:
    """A network as a function: (trained parameters, fixed parameters, inputs) -> outputs.

    Parameters without `requires_grad` are fixed. A parameter that the network uses in several places is one parameter.
    Buffers are the network's own, and must not change when it is called. Layers that draw at random, such as dropout,
    draw from `seed` where one is given: the same seed gives the same draw.
    """

    def __init__(self, network: nn.Module) -> None:
        """`network` gives the layers, the mode (training or evaluation) and the buffers; its weights are not used."""
        self._network = network
        named = list(network.named_parameters())
        self._trained = [name for name, param in named if param.requires_grad]
        self._fixed = [name for name, param in named if not param.requires_grad]

    def split(self, network: nn.Module) -> tuple[Tensors, Tensors]:
        """The trained and the fixed parameters of a network with the same layers, detached."""
        named = dict(network.named_parameters())
        trained, fixed = ([named[name].detach() for name in names] for names in (self._trained, self._fixed))
        return tuple(trained), tuple(fixed)

    def __call__(self, trained: Tensors, fixed: Tensors, inputs: Tensor, seed: Tensor | None = None) -> Tensor:
        """The network's outputs. `seed`, int64 of no dimensions, lies on the CPU: reading it waits for no device."""
        values = dict(zip((*self._trained, *self._fixed), (*trained, *fixed), strict=True))
        if seed is None:
            return functional_call(self._network, values, (inputs,))
        with seeded(int(seed), inputs.device):
            return functional_call(self._network, values, (inputs,))
