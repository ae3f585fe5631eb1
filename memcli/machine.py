"""What differs between operating systems: the peak of memory, the lock of a file, flags of opening.

Linux is the system that is tested; on macOS and Windows the import and the commands are meant to work, untested.
Modules that only some systems have are imported inside functions, so that importing memcli needs none of them.
"""

import errno
import math
import os
import platform
import signal
import sys
import threading
import time
import zlib
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

# Flags for os.open; 0 where the system does not have them.
BINARY = getattr(os, "O_BINARY", 0)  # without it, Windows changes line ends
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)
MOVES_OPEN = sys.platform != "win32"  # whether a file that is open can be moved to another's place
_CURRENT_FOLDER, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)
_IMPORTED = time.monotonic()
_LONGEST_IMPORT = 120.0  # seconds from the start of a process to this line, at most, where its clocks make sense
_STATUS = Path("/proc/self/status")
_START_FIELD = 19  # of /proc/self/stat after the name: clock ticks from the machine's start to that of the process


def peak_memory(status: Path = _STATUS) -> int:
    """The most bytes that this process has held in memory at once. `status` is where Linux tells it.

    Where it does not, as on macOS, they are those of `getrusage`: on Linux these would be of the program that began
    this process, if it held more.
    """
    if sys.platform == "win32":
        return _windows_peak()
    if (peak := _told(status, "VmHWM")) is not None:
        return peak
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts it in KiB, macOS in bytes


def library_memory(status: Path = _STATUS) -> int:
    """The bytes of files, nearly all libraries, that this process holds in memory and shares with others that use them.

    0 where the system does not tell.
    """
    return _told(status, "RssFile") or 0


def _told(status: Path, name: str) -> int | None:
    """The bytes of the line `name` of a status of a process, where Linux tells them."""
    with suppress(OSError, StopIteration):
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024
    return None


def cores(system: Path = Path("/")) -> int:
    """The processor cores that this process may use: those that it is bound to, or fewer where its container or its
    batch job is given fewer. `system` is the root of the file system, of which Linux tells this in /proc and /sys.
    """
    return min([_bound(), *(max(1, math.ceil(quota)) for quota in _quotas(system))])


def processor(system: Path = Path("/")) -> str:
    """The processor, as code that is compiled for it must know it: its model, and a checksum of what it can do."""
    told = dict.fromkeys(("model name", "flags", "Features"), "")
    for line in _lines(system / "proc/cpuinfo"):
        name, _, value = line.partition(":")
        if name.strip() in told and not told[name.strip()]:
            told[name.strip()] = value.strip()
    able = " ".join(sorted((told["flags"] + " " + told["Features"]).split()))
    model = told["model name"] or platform.processor() or platform.machine()
    return f"{model} {zlib.crc32(able.encode()):08x}"


def process_began() -> float:
    """When this process did, by time.monotonic, where Linux tells it in /proc; else when this module was imported."""
    fields = "".join(_lines(Path("/proc/self/stat"))).rpartition(")")[2].split()
    if len(fields) < _START_FIELD + 1 or not hasattr(time, "CLOCK_BOOTTIME"):
        return _IMPORTED
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_START_FIELD]) / os.sysconf("SC_CLK_TCK")
    return max(min(time.monotonic() - age, _IMPORTED), _IMPORTED - _LONGEST_IMPORT)


def available_memory(system: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: what is free, or what control groups leave of it; None: not known."""
    free = [1024 * kibibytes for kibibytes in _named(system / "proc/meminfo", "MemAvailable:")]
    groups = system / "sys/fs/cgroup"
    own = next((line[3:] for line in _lines(system / "proc/self/cgroup") if line.startswith("0::")), "/").strip("/")
    pairs = [(groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")]
    here = [folder for folder in (groups / own, *(groups / own).parents) if folder.is_relative_to(groups)]
    pairs += [(folder, "memory.max", "memory.current", "inactive_file") for folder in here]
    for folder, limit, used, cached in pairs:
        for most, taken in zip(_numbers(folder / limit), _numbers(folder / used), strict=False):
            free.append(max(most - taken + sum(_named(folder / "memory.stat", cached)), 0))
    return min(free, default=None)


def share_cores(environment: MutableMapping[str, str], system: Path = Path("/")) -> None:
    """Settings of OpenMP for torch, which reads them when it is imported; those that are there stay.

    Threads that wait for the others spin for a moment and then sleep: by default they spin for milliseconds, and on
    cores that other programs want too a step then takes up to a hundred times as long (docs/performance.md). Where a
    quota is below the cores that torch sees, it is the number of threads.
    """
    environment.setdefault("GOMP_SPINCOUNT", "1000")  # what libgomp itself takes for more threads than cores
    if cores(system) < _bound():
        environment.setdefault("OMP_NUM_THREADS", str(cores(system)))


def lock(descriptor: int) -> None:
    """Lock an open file for this process, until it is closed. Raises BlockingIOError where another one holds it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # the first byte; the file may be empty
        except PermissionError as error:  # Windows raises it for a locked file
            raise BlockingIOError(*error.args) from error
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def signal_main_thread(number: int) -> None:
    """Send a signal to the main thread, which ends what it waits for there, from any other.

    Windows cannot: the main thread then sees the signal when it has waited.
    """
    if hasattr(signal, "pthread_kill"):
        main = threading.main_thread().ident
        assert main is not None, "it is running"
        signal.pthread_kill(main, number)
    else:
        signal.raise_signal(number)


def exchange(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Let two paths of one file system change places, in one step; False where that cannot be done, as but on Linux.

    Raises OSError where a path is missing, or may not be moved.
    """
    if sys.platform != "linux":
        return False
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # glibc 2.28 and musl 1.2.5 have it
    if rename is None:
        return False
    if rename(_CURRENT_FOLDER, os.fsencode(one), _CURRENT_FOLDER, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):  # a kernel or a file system that cannot
        return False
    raise OSError(code, os.strerror(code), os.fspath(one), None, os.fspath(other))


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Write the names in `folder` to disk. Windows cannot open folders, and need not."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _bound() -> int:
    """The cores that this process is bound to."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(system: Path) -> list[float]:
    """The cores that control groups allow this process: of its own group and of those above, in versions 2 and 1."""
    groups = system / "sys/fs/cgroup"
    pairs = [_numbers(groups / "cpu/cpu.cfs_quota_us") + _numbers(groups / "cpu/cpu.cfs_period_us")]
    own = next((line[3:] for line in _lines(system / "proc/self/cgroup") if line.startswith("0::")), "/")
    here = groups / own.strip("/")
    pairs += [_numbers(folder / "cpu.max") for folder in (here, *here.parents) if folder.is_relative_to(groups)]
    return [pair[0] / pair[1] for pair in pairs if len(pair) == 2 and min(pair) > 0]


def _numbers(path: Path) -> list[int]:
    """The whole numbers of a small file of the system's; none where there is no such file."""
    return [int(word) for line in _lines(path) for word in line.split() if word.isdecimal()]


def _named(path: Path, name: str) -> list[int]:
    """The whole numbers after `name` in a file of lines."""
    found = (line.split() for line in _lines(path))
    return [int(words[1]) for words in found if words[:1] == [name] and words[1].isdecimal()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


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
