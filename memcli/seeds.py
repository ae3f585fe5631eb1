"""Randomness: one root seed, and a separate stream for every (purpose, step, rank).

Every draw comes from a generator made here, so a run that is resumed needs its counters only, and the global
generators of torch, numpy and random stay as they were. Draws are made on the CPU, so that they are the same on every
device.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, purpose: str, step: int = 0, rank: int = 0) -> int:
    """A 63-bit seed for the stream named (seed, purpose, step, rank): the head of their SHA-256."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}/{rank}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str, step: int = 0, rank: int = 0) -> torch.Generator:
    """A fresh CPU generator for the stream named (seed, purpose, step, rank)."""
    return torch.Generator().manual_seed(derive(seed, purpose, step, rank))


@contextmanager
def isolated(seed: int, purpose: str, step: int = 0, rank: int = 0) -> Iterator[None]:
    """Seed the global CPU generator inside the block for that stream, and restore its state after it.

    For code that takes no generator, such as the initialisers of torch.nn.
    """
    with seeded(derive(seed, purpose, step, rank)):
        yield


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed the global generators of the CPU and of `device` inside the block, and restore their states after it.

    For layers that draw on the device of their input, such as dropout.
    """
    indices = []
    if device is not None and device.type == "cuda":
        indices = [torch.cuda.current_device() if device.index is None else device.index]
    with torch.random.fork_rng(devices=indices):
        torch.random.default_generator.manual_seed(seed)
        for index in indices:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield
