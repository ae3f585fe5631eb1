"""Makes the C library keep memory that training steps free and take again, thousands of times."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of mallopt(3)
_KEPT = 2**31 - 1  # bytes free at the top of the heap that are not given back; the most that mallopt takes


def keep_freed_memory() -> bool:
    """Keep freed memory in the process, so that no step has its pages mapped again; returns whether it worked.

    Blocks of all sizes then come from the heap. A threshold for blocks that are mapped one by one, and given back, can
    be at most 32 MiB, and the activations of one layer are larger (docs/log/). It holds for the whole process, so a
    program calls it, not a library. glibc only: elsewhere it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
