"""Tensors that show one number many times, copied out before an operation writes into a part of them."""

import torch
from torch.fx import GraphModule, Node

from memcli.engine.compiling.recorded import shown

_aten = torch.ops.aten
# What returns its first argument with some of its numbers replaced, or added to.
_WRITES = {
    _aten.index_put,
    _aten._unsafe_index_put,
    _aten.index_add,
    _aten.index_copy,
    _aten.index_fill,
    _aten.scatter,
    _aten.scatter_add,
    _aten.scatter_reduce,
    _aten.masked_scatter,
    _aten.put,
    _aten.select_scatter,
    _aten.slice_scatter,
    _aten.diagonal_scatter,
}


def with_whole_copies(operations: GraphModule) -> GraphModule:
    """The same operations, where none that writes is given an expanded tensor.

    torch 2.11 compiles a write into a part of expanded zeros as one into the single zero behind them, so that all of
    the result is wrong, without a word. Forward derivatives record such zeros, for tensors without a tangent.
    """
    graph = operations.graph
    for node in list(graph.nodes):
        if getattr(node.target, "overloadpacket", None) in _WRITES and _expanded(node.args[0]):
            with graph.inserting_before(node):
                whole = graph.call_function(
                    _aten.clone.default, (node.args[0],), {"memory_format": torch.contiguous_format}
                )
            whole.meta["val"] = shown(node.args[0]).clone(memory_format=torch.contiguous_format)
            node.args = (whole, *node.args[1:])
    operations.recompile()
    return operations


def _expanded(node: Node) -> bool:
    """Whether several elements of a result are one number in memory."""
    tensor = shown(node)
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))
