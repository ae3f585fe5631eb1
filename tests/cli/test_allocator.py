"""The allocator keeps freed memory: counted in page faults, in a process of its own."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys, torch
from memcli.cli._allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def work():
    for _ in range(20):
        many = [torch.empty(1_000_000).fill_(1.0) for _ in range(10)]  # 40 MB, freed at once
        del many
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    found = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_freed_memory_is_taken_again_without_page_faults() -> None:
    plain, keeping = faults("plain"), faults("keep")
    if plain < 1000:
        pytest.skip("this system's malloc keeps freed memory by itself")
    assert keeping < plain / 10
