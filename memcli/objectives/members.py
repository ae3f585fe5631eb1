"""A pool of networks that are trained on real images beside a memory, each replaced by a fresh one at its age."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcli.data.spec import DataSpec
from memcli.engine import Functional, Tensors
from memcli.files.checkpoints import damaged, require_like
from memcli.networks import build


@dataclass
class Member:
    """A network of the pool: its weights, their momentum, and the number of its training steps so far."""

    weights: Tensors
    velocity: list[Tensor]
    age: int = 0

    def train(self, gradients: Tensors, rate: float, momentum: float) -> None:
        """One step of SGD with momentum."""
        with torch.no_grad():
            for weight, speed, gradient in zip(self.weights, self.velocity, gradients, strict=True):
                speed.mul_(momentum).add_(gradient)
                weight.sub_(rate * speed)
        self.age += 1


class Members:
    """The pool: `networks` places, which take turns, one in each outer step. A network's life is `age` steps."""

    def __init__(self, network: str, data: DataSpec, device: torch.device, networks: int, age: int, name: str) -> None:
        """`network` describes them, for images of `data`; `name` tells their draws from those of other pools."""
        self._described, self._data, self._device, self._name = network, data, device, name
        self._networks, self._age = networks, age
        self.skeleton: nn.Module = build(network, data, seed=0).to(device)  # its weights are never used
        self.network = Functional(self.skeleton)
        self._pool: list[Member] = []

    def turn(self, seed: int, step: int) -> Member:
        """The network whose turn outer step `step` is."""
        self._pool = self._pool or [self.fresh(seed, 0, place) for place in range(self._networks)]
        return self._pool[step % self._networks]

    def renew(self, seed: int, step: int) -> None:
        """A new network for the place whose turn outer step `step` was."""
        place = step % self._networks
        self._pool[place] = self.fresh(seed, 1 + step, place)

    def fresh(self, seed: int, step: int, place: int) -> Member:
        """A new network for `place`. The first ones begin at different ages, so that they end one by one."""
        network = build(self._described, self._data, seed=seed, purpose=f"{self._name} pool {place}", step=step)
        weights, _ = self.network.split(network.to(self._device))
        age = place * self._age // self._networks if step == 0 else 0
        return Member(weights, [torch.zeros_like(weight) for weight in weights], age)

    def tensors(self) -> dict[str, Tensor]:
        """All of them by name, for a checkpoint."""
        named = {}
        for place, member in enumerate(self._pool):
            named[f"{place}.age"] = torch.tensor(member.age)
            for number, (weight, speed) in enumerate(zip(member.weights, member.velocity, strict=True)):
                named |= {f"{place}.weight.{number}": weight, f"{place}.velocity.{number}": speed}
        return named

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what `tensors()` returned. MemoryFileError where it cannot have."""
        self._pool = [self.fresh(0, 0, place) for place in range(self._networks)] if tensors else []
        require_like(tensors, self.tensors())
        if any(not 0 <= int(tensors[f"{place}.age"]) < self._age for place in range(len(self._pool))):
            raise damaged("the age of a network is impossible")
        for place, member in enumerate(self._pool):
            member.age = int(tensors[f"{place}.age"])
            for number, (weight, speed) in enumerate(zip(member.weights, member.velocity, strict=True)):
                weight.copy_(tensors[f"{place}.weight.{number}"])
                speed.copy_(tensors[f"{place}.velocity.{number}"])
