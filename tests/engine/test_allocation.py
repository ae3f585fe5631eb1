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
    torch.ones(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    tensors = [torch.ones(20_000_000) for _ in range(2)]  # 80 MB each, as one layer's activations are
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

    assert faults("") > 300_000, "twenty blocks of 20,000 pages, made each time"
    assert faults("assert keep_freed_memory()") < 150_000, "two of them, made once, or a few times more"
