"""What every objective that remembers something must do."""

import torch

from memcli.data.real import RealImages
from memcli.memory.memory import Memory
from memcli.objectives import Objective
from memcli.objectives.members import Member, Members


def goes_on_bit_for_bit(
    whole: Objective, resumed: Objective, memory: Memory, real: RealImages, taken: int, more: int
) -> None:
    """After `taken` steps of `whole`, `resumed` takes up what it tells, and both find the same in `more` steps."""
    for step in range(taken):
        whole.step(memory, 0.1, real, 0, step)
    resumed.restore({name: tensor.clone() for name, tensor in whole.tensors().items()})
    for step in range(taken, taken + more):
        one, other = (objective.step(memory, 0.1, real, 0, step) for objective in (whole, resumed))
        assert torch.equal(one.loss, other.loss)
        assert all(torch.equal(one.gradients[name], other.gradients[name]) for name in one.gradients)


def in_float64(members: Members) -> None:
    """Let the networks of the pool be in float64."""
    fresh = members.fresh

    def wide(seed: int, step: int, place: int) -> Member:
        member = fresh(seed, step, place)
        return Member(
            tuple(weight.double() for weight in member.weights), [s.double() for s in member.velocity], member.age
        )

    members.fresh = wide  # type: ignore[method-assign]
