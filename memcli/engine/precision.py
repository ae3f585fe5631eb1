"""Training steps in bfloat16, with everything around them in float32."""

from memcli.engine.derivatives import Loss
from memcli.engine.tensors import Tensors


def in_bfloat16(loss: Loss) -> Loss:
    """The same loss computed in bfloat16 throughout; weights, momentum and adjoints stay as they are around it.

    bfloat16 has the range of float32 and 8 bits of precision: a gradient's relative error is about 1 %.
    """

    def rounded(tensors: Tensors) -> Tensors:
        return tuple(t.bfloat16() if t.is_floating_point() else t for t in tensors)

    return lambda params, controls, batch: loss(rounded(params), rounded(controls), rounded(batch)).float()
