"""Fixtures for all tests: no test may touch a global random generator, and real data is found by MEMCLI_DATA."""

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import rich.style  # noqa: F401 - it draws from `random` when it is first imported, which no test should be blamed for
import torch
from real_data import real_folder

torch.set_num_threads(min(torch.get_num_threads(), 2))
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def global_generators_untouched() -> Iterator[None]:
    """Fail any test in which a global generator of torch, numpy or random has moved."""
    before = torch.random.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tobytes()
    yield
    after = torch.random.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tobytes()
    assert torch.equal(before[0], after[0]), "torch's global generator was used: take one from memcli.seeds"
    assert before[1:] == after[1:], "a global generator of random or numpy was used: take one from memcli.seeds"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets that MEMCLI_DATA names; without one the test is skipped."""
    return real_folder(os.environ.get("MEMCLI_DATA"))
