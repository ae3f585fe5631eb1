"""The gradient of a convolution with respect to images, as one matrix product and a sum of shifted planes."""

from operator import getitem

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.nn.functional import pad

from memcli.engine.compiling.recorded import CONVOLUTION_BACKWARD, reads_images, shown

_PLAIN = ([1, 1], [1, 1], False, 1)  # stride, dilation, transposed, groups
_MOST_PIXELS = 25  # of a kernel: one number is kept for each of them, every input channel and every output pixel


def image_gradient(g: Tensor, weight: Tensor, height: int, width: int, padding: tuple[int, int]) -> Tensor:
    """g: (n, out, h, w), weight: (out, in, kh, kw) -> the gradient (n, in, height, width), for stride 1.

    Each output pixel's share of every input pixel that it saw is one product, for each image (kh kw in, out) times
    (out, h w), and each input pixel is the sum of its kh kw shares. It pays where a compiler makes that sum one pass.
    """
    (n, out, h, w), (_, channels, kh, kw) = g.shape, weight.shape
    columns = g.permute(0, 2, 3, 1).reshape(n, h * w, out).transpose(1, 2)
    shares = torch.matmul(weight.permute(2, 3, 1, 0).reshape(-1, out), columns).view(n, kh, kw, channels, h, w)
    (down, across), (before, left) = padding, (max(kh - 1 - padding[0], 0), max(kw - 1 - padding[1], 0))
    shares = pad(shares, (left, max(width + across - w, 0), before, max(height + down - h, 0)))
    total = shares.new_zeros(())
    for i in range(kh):
        for j in range(kw):
            top, start = before + down - i, left + across - j
            total = total + shares[:, i, j, :, top : top + height, start : start + width]
    return total


def with_image_gradients(operations: GraphModule) -> GraphModule:
    """The same operations, with `image_gradient` for every gradient of a plain convolution that reads few channels."""
    graph = operations.graph
    for node in list(graph.nodes):
        if node.target is not CONVOLUTION_BACKWARD:
            continue
        (g, images, weight), (stride, padding, dilation, transposed, _, groups, mask) = node.args[:3], node.args[4:]
        if not mask[0] or (list(stride), list(dilation), transposed, groups) != _PLAIN:
            continue
        kh, kw = shown(weight).shape[2:]
        if not reads_images(weight) or kh * kw > _MOST_PIXELS:
            continue
        with graph.inserting_before(node):
            of_images = graph.call_function(image_gradient, (g, weight, *shown(images).shape[2:], tuple(padding)))
        for user in list(node.users):
            if user.target is getitem and user.args[1] == 0:
                user.replace_all_uses_with(of_images)
                graph.erase_node(user)
        node.args = (*node.args[:-1], [False, *mask[1:]])
    graph.eliminate_dead_code()
    operations.recompile()
    return operations
