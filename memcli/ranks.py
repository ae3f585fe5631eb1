"""The processes that learn one memory together: what they add up, and what they agree on.

Each is a rank. All hold the same memory and take the same outer steps, and each does its own part of the work of a
step; only sums and short messages go from one to another. Where a program runs alone, it is rank 0 of one.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, distributed

from memcli.errors import Interrupted
from memcli.stopping import AGAIN, Stopped, asked

_LOOKS_AGAIN = 0.001  # seconds until a rank that waits for another looks for signals


class LostError(Interrupted):
    """Another rank has ended before its time."""


class Ranks:
    """The ranks, as one of them sees them; this class is the only rank of a program that runs alone."""

    rank, size = 0, 1

    def own(self, count: int) -> range:
        """Which of so many pieces of work are this rank's: they are dealt out in turn."""
        return range(self.rank, count, self.size)

    def summed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The sums over all ranks, by name; all give tensors of the same names, shapes and types."""
        return dict(tensors)

    def first(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What rank 0 gives, on the CPU; what the others give is not looked at."""
        return dict(tensors)

    def collected(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """On rank 0 the tensors of all ranks, whose names differ, on the CPU; on the others those that they gave."""
        return dict(tensors)

    def said(self, text: str) -> str:
        """What rank 0 says; what the others say is not looked at."""
        return text

    def all_said(self, text: str) -> list[str]:
        """What each rank says, in their order."""
        return [text]

    def all_agree(self, is_so: bool) -> bool:
        """Whether it is so for every rank."""
        return is_so

    def is_first_of(self, place: str) -> bool:
        """Whether this is the first rank of those that say the same."""
        return self.all_said(place).index(place) == self.rank

    def agreed(self, *numbers: float, stops: bool = True) -> tuple[float, ...]:
        """Rank 0's numbers. If it `stops`, all ranks raise Stopped where a signal asked one of them to stop."""
        del stops
        return numbers


ALONE = Ranks()


class Group(Ranks):
    """One of several ranks: a process of torch's group, which adds up by gloo on processors and by NCCL on GPUs.

    Every rank must call every method in the same order. Where another one has ended, each raises LostError.
    """

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    def summed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors.values()])  # one message, not one for each
        with _lost():
            distributed.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors.values()])
        return {name: part.view_as(tensors[name]) for name, part in zip(tensors, parts, strict=True)}

    def first(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return load(self._broadcast(_packed(tensors) if self.rank == 0 else b"", 0))

    def collected(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        everything = dict(tensors)
        for other in range(1, self.size):
            # Only rank 0 needs it, but a broadcast is the one message that no backend lacks.
            packed = self._broadcast(_packed(tensors) if self.rank == other else b"", other)
            everything |= load(packed) if self.rank == 0 else {}
        return everything

    def said(self, text: str) -> str:
        return self._broadcast(text.encode(), 0).decode()

    def all_said(self, text: str) -> list[str]:
        mine = text.encode()
        return [self._broadcast(mine if self.rank == rank else b"", rank).decode() for rank in range(self.size)]

    def all_agree(self, is_so: bool) -> bool:
        against = torch.tensor([float(not is_so)])
        with _lost():
            distributed.all_reduce(against)
        return not against.item()

    def agreed(self, *numbers: float, stops: bool = True) -> tuple[float, ...]:
        mine = numbers if self.rank == 0 else (0.0,) * len(numbers)
        together = torch.tensor([float(asked()), *mine], dtype=torch.float64)
        with _lost():
            distributed.all_reduce(together)
        stop, *agreed = together.tolist()
        if stop and stops:
            raise Stopped
        return tuple(agreed)

    def _broadcast(self, packed: bytes, source: int) -> bytes:
        with _lost():
            size = torch.tensor([len(packed)])
            waiting: Any = distributed.broadcast(size, source, async_op=True)
            while not waiting.is_completed():  # so long as others work; a signal is seen between two steps of Python's
                time.sleep(_LOOKS_AGAIN)
            waiting.wait()
            room = torch.empty(int(size), dtype=torch.uint8)
            if self.rank == source and packed:
                room.copy_(torch.frombuffer(bytearray(packed), dtype=torch.uint8))
            distributed.broadcast(room, source)
        return room.numpy().tobytes()


def joined() -> Ranks:
    """The ranks of torch's default process group, which this process has joined; ALONE where there is none."""
    together = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    return Group() if together else ALONE


def _packed(tensors: Mapping[str, Tensor]) -> bytes:
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


@contextmanager
def _lost() -> Iterator[None]:
    """Turn the failure of a message into LostError: all but the messages is computed outside of the block."""
    try:
        yield
    except RuntimeError as error:  # torch's own errors of messages are of this kind, and gloo's are of no other
        raise LostError("another process of the run has ended", do=AGAIN) from error
