"""Freed memory stays in the process: taking it again makes no new pages."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import resource, torch
from memcli.engine.allocation import keep_freed_memory
{call}
for _ in range(3):
    torch.ones(2_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    tensors = [torch.ones(2_000_000) for _ in range(4)]  # 8 MB each
    del tensors
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_memory_that_is_freed_and_taken_again_makes_no_new_pages() -> None:
    # Left alone, glibc learns its thresholds from what was freed before; set to the least, they give every block back.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(64 << 10), "MALLOC_TRIM_THRESHOLD_": "0"}

    def faults(call: str) -> int:
        command = [sys.executable, "-c", SCRIPT.format(call=call)]
        return int(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)

    assert faults("") > 100_000, "eighty blocks of 2,000 pages, made each time"
    assert faults("assert keep_freed_memory()") < 40_000, "four of them, made once, or a few times more"
