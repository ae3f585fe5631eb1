"""How the C library's allocator is told to keep what training steps free and take again, thousands of times."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of mallopt(3)
_KEPT = 2**31 - 1  # bytes free at the top of the heap that are not given back; the most that mallopt takes


def keep_freed_memory() -> bool:
    """Keep freed memory in the process, so that the next step need not have its pages made anew; whether that worked.

    Blocks of all sizes come from the heap: a threshold for those that are mapped by themselves, and given back, cannot
    be set beyond 32 MiB, and the activations of one layer are larger (docs/log/). For the whole process, so a
    program's to call, not a library's. glibc only: elsewhere nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
