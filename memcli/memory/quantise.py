"""Numbers rounded to those that a storage type can hold, and the tensors that a file holds of them.

Learning with quantisation in the loop: an objective sees `rounded` tensors, and the gradient with respect to them moves
the float32 tensors that they were rounded from, as if rounding were the identity (straight-through estimator [STE]).
The scale follows the largest number of its group, so numbers are clipped by no more than the rounding of the scale,
and the identity is taken for scale and code together.

[STE] Bengio, Léonard, Courville, "Estimating or propagating gradients through stochastic neurons", arXiv 1308.3432.
"""

from torch import Tensor

from memcli.memory.storage import SCALE_SUFFIX, STORAGES


def rounded(values: Tensor, storage: str, axis: int) -> Tensor:
    """A tensor of a memory as it is read from a file of that storage type, in the dtype of `values`.

    Numbers with the same index along `axis` share a scale. Those that are not finite, or too large, become not finite.
    """
    kind = STORAGES[storage]
    return kind.decode(*kind.encode(values, axis), tuple(values.shape), axis).to(values.dtype)


def to_payload(tensors: dict[str, Tensor], storage: str, axes: dict[str, int]) -> dict[str, Tensor]:
    """The tensors that a file holds for a memory's: the same, or codes and, as `<name>_scale`, scales.

    `axes` has the axis with scales of each, by name, as `MemorySpec.scaled_axes` has.
    """
    payload = {}
    for name, values in tensors.items():
        payload[name], scales = STORAGES[storage].encode(values, axes[name])
        if scales is not None:
            payload[name + SCALE_SUFFIX] = scales
    return payload


def from_payload(
    payload: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], storage: str, axes: dict[str, int]
) -> dict[str, Tensor]:
    """The tensors of those shapes, float32, from those that a file holds."""
    kind = STORAGES[storage]
    return {
        name: kind.decode(payload[name], payload.get(name + SCALE_SUFFIX), shape, axes[name])
        for name, shape in shapes.items()
    }
