"""What differs from one operating system to the next: the peak of memory, the lock of a file, flags of opening.

Linux is the system that is tested; on macOS and Windows the import and the commands are meant to work, untested.
Modules that only some systems have are imported inside functions, so that importing memcli needs none of them.
"""

import os
import sys
from typing import Any

# Flags for os.open that a system may lack; it then has no such flag to give.
BINARY = getattr(os, "O_BINARY", 0)  # Windows alone translates line ends, unless it is told not to
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)


def peak_memory() -> int:
    """The most bytes that this process has held in memory at once."""
    if sys.platform == "win32":
        return _windows_peak()
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts it in KiB, macOS in bytes


def lock(descriptor: int) -> None:
    """Lock an open file for this process, until it is closed. Raises BlockingIOError where another one holds it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # the first byte; it need not be there
        except PermissionError as error:  # so Windows says that it is locked
            raise BlockingIOError(*error.args) from error
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Put the names in `folder` on disk. Windows cannot open folders, and needs no such thing."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _windows_peak() -> int:
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS of the Windows API."""

        _fields_ = (
            ("cb", ctypes.c_uint32),
            ("page_faults", ctypes.c_uint32),
            ("peak_working_set", ctypes.c_size_t),
            ("others", ctypes.c_size_t * 7),
        )

    windows: Any = ctypes  # what only Windows has of it
    kernel = windows.WinDLL("kernel32", use_last_error=True)
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    read = kernel.K32GetProcessMemoryInfo
    read.argtypes = (wintypes.HANDLE, ctypes.POINTER(Counters), ctypes.c_uint32)
    counters = Counters(cb=ctypes.sizeof(Counters))
    if not read(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
        raise windows.WinError(windows.get_last_error())
    return int(counters.peak_working_set)
