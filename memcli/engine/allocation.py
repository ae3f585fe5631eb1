"""How the C library's allocator is told to keep what training steps free and take again, thousands of times."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST_ON_HEAP = 32 << 20  # bytes; the most that glibc accepts
_KEPT = 1 << 30  # bytes free at the top of the heap that are not given back


def keep_freed_memory() -> bool:
    """Keep freed memory in the process, so that the next step need not have its pages made anew; whether that worked.

    For the whole process, so a program's to call, not a library's. glibc only: elsewhere nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_ON_HEAP) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
