"""What a process uses of the machine, and what the machine can do."""

import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class PeakMemory:
    """Megabytes (10^6 bytes) at most in use since it was made, above what was in use then.

    On a CPU of the resident size, which the kernel counts; on CUDA of what torch allocates.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            with suppress(OSError):  # no such file off Linux: the peak is then that of the process's whole life
                Path("/proc/self/clear_refs").write_text("5")
        self._start = torch.cuda.memory_allocated() / 1e6 if self._cuda else resident("VmRSS")

    def megabytes(self) -> float:
        return (torch.cuda.max_memory_allocated() / 1e6 if self._cuda else resident("VmHWM")) - self._start


def resident(field: str) -> float:
    """A size of this process in megabytes, by its name in /proc/self/status; the largest so far where there is none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{field}:"))


def free_gb() -> float:
    """80 % of the memory that is free now; of all memory where the system does not say."""
    free = os.sysconf("SC_AVPHYS_PAGES") if sys.platform == "linux" else os.sysconf("SC_PHYS_PAGES")
    return 0.8 * free * os.sysconf("SC_PAGE_SIZE") / 1e9


def machine(device: str) -> str:
    """What the figures were measured on, with its own ceilings: a matrix product, and a copy in memory."""
    side, words = (8192, 1 << 28) if device == "cuda" else (1024, 1 << 24)
    matrix, block = torch.ones(side, side, device=device), torch.ones(words, device=device)
    target = torch.empty_like(block)

    def seconds(run: Callable[[], object]) -> float:
        times = []
        for _ in range(6):
            finish(matrix.device)
            began = time.perf_counter()
            run()
            finish(matrix.device)
            times.append(time.perf_counter() - began)
        return min(times[1:])

    product, copy = 2 * side**3 / seconds(lambda: matrix @ matrix), 8 * words / seconds(lambda: target.copy_(block))
    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    return (
        f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}; a product of "
        f"{side}x{side} matrices runs at {product / 1e9:.0f} Gflop/s, a copy of {4 * words >> 20} MiB at "
        f"{copy / 1e9:.1f} GB/s (read and written)."
    )
