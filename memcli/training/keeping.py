"""Work that can go on where it was stopped, as a training can: what its state is, and when it is kept."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from memcli.errors import MemoryFileError
from memcli.stopping import Stopped, whole

EVERY = 60.0  # seconds between two times that the state is kept


class Store(Protocol):
    """Where the state of one training is kept."""

    def load(self, most: int, like: dict[str, Tensor] | None, restore: Callable[[dict[str, Tensor]], None]) -> int:
        """Have `restore` take what is kept, of the names, types and shapes of `like`, and return its steps, at `most`.

        0 where nothing is kept, or where `restore` raises MemoryFileError: then it has changed nothing.
        """

    def save(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Keep the state after `step` steps."""

    def remove(self) -> None:
        """Forget what was kept."""


class State(Protocol):
    """What a work of many steps holds between two of them."""

    def tensors(self) -> dict[str, Tensor]:
        """All of it, by name."""

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up what `tensors()` returned. MemoryFileError where it cannot have: then nothing is changed."""


class Kept:
    """A work whose `state` is kept in `store`, if there is one: every minute, and where it is stopped."""

    def __init__(self, store: Store | None, state: State, *, grows: bool = False) -> None:
        """`grows`: the names and shapes of the state change from step to step, and its `restore` checks them."""
        self._store, self._state, self._grows = store, state, grows
        self._done, self._last, self._is_long = 0, time.monotonic(), False

    def taken_up(self, steps: int) -> int:
        """Take up the state that is kept, and return how many of the `steps` are done; 0 where there is none."""
        if self._store is not None:
            like = None if self._grows else self._state.tensors()
            self._done = self._store.load(steps, like, self._state.restore)
        return self._done

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """The block that takes step `number`: it is done or not, and then the state is kept if it is time.

        Where the block raises Stopped at its end, the state after the step is kept first.
        """
        if self._store is None:
            yield
            return
        try:
            with whole():
                yield
                self._done = number
        except Stopped:
            self._keep(self._store)
            raise
        if time.monotonic() - self._last >= EVERY:
            self._is_long = True
            self._keep(self._store)

    def over(self) -> None:
        """The last step is done: a long work's state is kept, until what came of it is written."""
        if self._store is not None and self._is_long:
            self._keep(self._store)

    def _keep(self, store: Store) -> None:
        store.save(self._done, self._state.tensors())
        self._last = time.monotonic()


class Training:
    """The state of a training: weights and buffers, momentum, and the generators that layers draw from.

    All else is a function of the step. `optimiser` is torch's SGD with momentum.
    """

    def __init__(self, network: nn.Module, optimiser: torch.optim.Optimizer, device: torch.device) -> None:
        self._network, self._optimiser, self._device = network, optimiser, device

    def tensors(self) -> dict[str, Tensor]:
        state = {f"network.{name}": tensor for name, tensor in self._network.state_dict().items()}
        for name, parameter in self._network.named_parameters():
            momentum = self._optimiser.state[parameter].get("momentum_buffer")
            state[f"momentum.{name}"] = torch.zeros_like(parameter) if momentum is None else momentum
        state["generator"] = torch.get_rng_state()
        if self._device.type == "cuda":
            state["generator of the device"] = torch.cuda.get_rng_state(self._device)
        return {name: tensor.detach() for name, tensor in state.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        try:
            torch.set_rng_state(state["generator"])
            if self._device.type == "cuda":
                torch.cuda.set_rng_state(state["generator of the device"], self._device)
        except RuntimeError as error:
            raise MemoryFileError("its generator is in no state of one", do="Start afresh") from error
        prefix = "network."
        weights = {name.removeprefix(prefix): part for name, part in state.items() if name.startswith(prefix)}
        self._network.load_state_dict(weights)
        for name, parameter in self._network.named_parameters():
            self._optimiser.state[parameter]["momentum_buffer"] = state[f"momentum.{name}"].to(parameter)
