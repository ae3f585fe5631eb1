"""What a network costs, counted before there is memory for it: its weights have shapes and no numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from memcli.data.spec import DataSpec
from memcli.networks import make
from memcli.networks.base import without_numbers
from memcli.seeds import isolated


@dataclass(frozen=True)
class Cost:
    """Of a network: its size, and what one image takes on its way through it."""

    parameters: int
    operations: int  # multiplications and additions of a forward pass
    outputs: int  # bytes of the outputs of all layers
    largest: int  # of the largest of them


class _WithoutNumbers(TorchFunctionMode):
    """Whatever is made by `torch.empty`, as weights are, goes to the meta device, which has shapes only.

    The device as a whole cannot be meta: models of other packages compute their settings by small tensors.
    """

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), given: dict[str, Any] | None = None
    ) -> Any:
        del types
        given = dict(given or {})
        if function is torch.empty and given.get("device") is None:
            given["device"] = "meta"
        return function(*args, **given)


def sketched(name: str, data: DataSpec) -> nn.Module:
    """The network without numbers, in training mode. Raises UsageError as `build` does."""
    with isolated(0, "sketch"), _WithoutNumbers():
        return make(name, data)


@lru_cache(maxsize=32)
def cost(name: str, data: DataSpec) -> Cost | None:
    """The cost of a network; None where it cannot be counted. Raises UsageError as `build` does."""
    return counted(sketched(name, data).eval(), data)


def counted(network: nn.Module, data: DataSpec) -> Cost | None:
    """The cost of a network in evaluation mode, which stays as it is; None where it cannot be counted."""
    from torch.utils.flop_counter import FlopCounterMode

    sizes = [0]

    def count(_layer: nn.Module, _given: object, output: object) -> None:
        if isinstance(output, Tensor):
            sizes.append(4 * output.numel())

    hooks = [layer.register_forward_hook(count) for layer in network.modules() if not any(layer.children())]
    image = torch.empty(1, *data.shape, device="meta")
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            torch.func.functional_call(network, without_numbers(network), (image,))
    except Exception:  # whatever a model of others does with numbers that are not there
        return None
    finally:
        for hook in hooks:
            hook.remove()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(parameters, counter.get_total_flops(), sum(sizes), max(sizes))
