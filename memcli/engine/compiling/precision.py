"""Convolutions in bfloat16, with everything around them as it was."""

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from memcli.engine.compiling.backends import Backend, Runner
from memcli.engine.compiling.recorded import CONVOLUTION_BACKWARD, reads_images, shown
from memcli.engine.tensors import Tensors

# For a convolution and for its derivatives: the place of the weights among the arguments, and how many of the first
# arguments are tensors to round. The others are settings. All results of a backward are rounded too.
_CONVOLUTIONS = {
    torch.ops.aten.convolution.default: (1, 3),  # x, W, b
    CONVOLUTION_BACKWARD: (2, 3),  # g, x, W
}


def in_bfloat16(backend: Backend) -> Backend:
    """The same backend for operations whose convolutions, and their derivatives, are done in bfloat16.

    bfloat16 has the range of float32 and 8 bits of precision. Convolutions that read fewer than 8 channels stay as they
    are: they take little time, and rounding the images is most of what rounding all would do to a gradient. Of a
    ConvNet-3 its relative error is about 5 %, and 19 to 24 % if the first layer is rounded too (docs/log/).
    """

    def rounded(operations: GraphModule, example: Tensors) -> Runner:
        return backend(_rounded(operations), example)

    return rounded


def quick_in_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 pays: on a CPU or a CUDA device that multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    quick = (torch.cpu._is_avx512_bf16_supported, torch.cpu._is_amx_tile_supported)
    return device.type == "cpu" and any(supported() for supported in quick)


def precision(device: torch.device, bfloat16: bool) -> str:
    """What convolutions compute in: bfloat16 if asked for; else float32, or tf32 on CUDA, which is torch's default."""
    if bfloat16:
        return "bfloat16"
    return "tf32" if device.type == "cuda" and torch.backends.cudnn.allow_tf32 else "float32"


def _rounded(operations: GraphModule) -> GraphModule:
    graph = operations.graph
    for node in list(graph.nodes):
        place, count = _CONVOLUTIONS.get(node.target, (0, 0))
        if not count or reads_images(node.args[place]):
            continue
        with graph.inserting_before(node):
            tensors = (arg if arg is None else _cast(arg, torch.bfloat16) for arg in node.args[:count])
            node.args = (*tensors, *node.args[count:])
        single = isinstance(node.meta["val"], Tensor)
        for result in [node] if single else list(node.users):
            with graph.inserting_after(result):
                wide = _cast(result, shown(result).dtype)
            result.replace_all_uses_with(wide, delete_user_cb=lambda user, wide=wide: user is not wide)
    operations.recompile()
    return operations


def _cast(node: Node, dtype: torch.dtype) -> Node:
    cast = node.graph.call_function(torch.ops.aten.to.dtype, (node, dtype))
    cast.meta["val"] = shown(node).to(dtype)
    return cast
