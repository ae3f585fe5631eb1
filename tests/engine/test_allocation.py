"""Freed memory stays in the process: taking it again makes no new pages."""

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
    def faults(call: str) -> int:
        done = subprocess.run([sys.executable, "-c", SCRIPT.format(call=call)], capture_output=True, check=True)
        return int(done.stdout)

    kept = faults("assert keep_freed_memory()")
    assert kept < 12_000, "four blocks of 2,000 pages are made once"
    assert faults("") > 4 * kept
