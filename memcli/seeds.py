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
    """Seed the global CPU generator inside the block and put its state back after it.

    For code that takes no generator, such as the initialisers of torch.nn.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(derive(seed, purpose, step, rank))
        yield
