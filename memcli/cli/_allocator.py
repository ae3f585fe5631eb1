"""Keeping freed memory in the process: a training step frees and takes again the same megabytes many times."""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # the parameters' numbers in glibc's malloc.h
_LARGE = 2**31 - 1


def keep_freed_memory() -> None:
    """Tell glibc's malloc not to hand large blocks back to the kernel when they are freed. Elsewhere: nothing.

    Each block that is taken anew costs a page fault for every 4 kB of it: a quarter of the time of an outer step on
    two cores. The process keeps its peak of memory until it ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return
    for parameter, value in ((_MMAP_THRESHOLD, _LARGE), (_TRIM_THRESHOLD, _LARGE), (_TOP_PAD, 64 * 2**20)):
        mallopt(parameter, value)
