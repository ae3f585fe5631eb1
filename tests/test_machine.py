"""memcli asks of the operating system only what each has; macOS and Windows are played by stand-ins."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from memcli import machine
from memcli.errors import ExistsError
from memcli.files import atomic

NOT_ON_WINDOWS = ("fcntl", "resource", "pwd", "grp", "termios")
ONLY_POSIX = ("O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "fchmod", "mkfifo", "statvfs", "getuid", "sysconf")

IMPORT_ALL = f"""
import os, pkgutil, sys, torch, rich.console, typer, numpy, torchvision, sklearn.datasets, pyarrow.parquet
for name in {NOT_ON_WINDOWS}:
    sys.modules[name] = None
for name in {ONLY_POSIX}:
    delattr(os, name)
import memcli
for module in pkgutil.walk_packages(memcli.__path__, "memcli."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
        print(module.name)
"""

WRITE_AND_LOCK = f"""
import os, sys
from pathlib import Path
for name in {ONLY_POSIX}:
    delattr(os, name)
from memcli.files import atomic
folder = Path(sys.argv[1])
atomic.write_bytes(folder / "file", b"line\\n", force=False)
atomic.write_bytes(folder / "file", b"another\\n", force=True)
with atomic.new_folder(folder / "new", force=False), atomic.locked(folder):
    pass
"""


def test_importing_needs_nothing_that_windows_lacks() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"memcli.files.atomic", "memcli.distillation.loop", "memcli.cli.app"} <= set(done.stdout.split())


def test_files_are_written_without_the_flags_that_windows_lacks(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITE_AND_LOCK, str(tmp_path)], check=True)
    assert (tmp_path / "file").read_bytes() == b"another\n"
    assert (tmp_path / "new").is_dir()


def test_the_peak_of_memory_is_counted_in_bytes() -> None:
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    before, found = int(status["VmHWM"].split()[0]) * 1024, machine.peak_memory()
    assert before * 0.9 <= found <= before * 1.5


def test_libraries_are_a_part_of_what_a_process_holds(tmp_path: Path) -> None:
    code = """if True:
        from memcli import machine
        before = machine.library_memory()
        import torch
        print(before, machine.library_memory(), machine.peak_memory())
    """
    told = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
    before, after, peak = map(int, told.split())
    assert 0 < before < after - (50 << 20) < after < peak
    assert machine.library_memory(tmp_path / "none") == 0


def test_the_peak_of_memory_is_not_that_of_the_program_that_began_the_process() -> None:
    held = bytes([1]) * (300 << 20)
    code = "from memcli import machine; print(machine.peak_memory())"
    told = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert int(told) < 100 << 20 < len(held)


def test_macos_counts_bytes_and_linux_kibibytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import resource

    monkeypatch.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=3000))
    nowhere, silent = tmp_path / "none", tmp_path / "status"
    silent.write_text("Name: python\n")
    for status in (nowhere, silent):
        monkeypatch.setattr(sys, "platform", "darwin")
        assert machine.peak_memory(status) == 3000
        monkeypatch.setattr(sys, "platform", "linux")
        assert machine.peak_memory(status) == 3000 * 1024


class Function:
    """A function of a Windows library: it has the attributes of one, and answers with what it is given."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def __call__(self, *given: object) -> object:
        return self.answer(*given) if callable(self.answer) else self.answer


@pytest.mark.parametrize("works", [True, False])
def test_windows_tells_the_peak_by_a_call(monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    def read(_process: int, counters: object, size: int) -> int:
        found = counters._obj  # type: ignore[attr-defined]
        assert size == ctypes.sizeof(found) == (72 if ctypes.sizeof(ctypes.c_size_t) == 8 else 40)
        found.peak_working_set = 3000
        return int(works)

    kernel = SimpleNamespace(GetCurrentProcess=Function(-1), K32GetProcessMemoryInfo=Function(read))
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "WinDLL", lambda *_, **__: kernel, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: 5, raising=False)
    monkeypatch.setattr(ctypes, "WinError", lambda code: OSError(code, "denied"), raising=False)
    if works:
        assert machine.peak_memory() == 3000
    else:
        with pytest.raises(OSError, match="denied"):
            machine.peak_memory()


def test_windows_locks_the_first_byte(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    held: list[int] = []

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (mode, count, os.lseek(descriptor, 0, os.SEEK_CUR)) == (2, 1, 0)
        if held:
            raise PermissionError(13, "Permission denied")
        held.append(descriptor)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    with (
        atomic.locked(tmp_path),
        pytest.raises(ExistsError, match=r"another run is using .*\. Wait for it"),
        atomic.locked(tmp_path),
    ):
        pytest.fail("the block must not run")
    assert held


@pytest.mark.parametrize(
    ("files", "most"),
    [
        ({}, 10**6),
        ({"sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, 10**6),
        ({"proc/self/cgroup": "0::/job/step", "sys/fs/cgroup/job/cpu.max": "50000 100000"}, 1),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 10**6),
    ],
)
def test_cores_are_those_that_a_container_is_given(
    files: dict[str, str], most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)
    assert machine.cores(tmp_path) == min(16, most)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.cores(tmp_path) == 1


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 3 kB"}, 3072),
        (
            {
                "proc/meminfo": "MemAvailable: 3 kB",
                "sys/fs/cgroup/memory.max": "2000",
                "sys/fs/cgroup/memory.current": "1500",
                "sys/fs/cgroup/memory.stat": "anon 900\ninactive_file 300",
            },
            800,
        ),
        ({"sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory.current": "5"}, None),
        (
            {
                "proc/self/cgroup": "0::/job/step",
                "sys/fs/cgroup/job/memory.max": "100",
                "sys/fs/cgroup/job/memory.current": "150",
            },
            0,
        ),
        (
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "400",
            },
            600,
        ),
    ],
)
def test_free_memory_is_what_the_machine_and_the_container_leave(
    files: dict[str, str], free: int | None, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert machine.available_memory(tmp_path) == free


def test_a_process_began_before_it_imported_memcli(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < machine._IMPORTED - machine.process_began() <= machine._LONGEST_IMPORT
    monkeypatch.setattr(machine, "_lines", lambda _: [])
    assert machine.process_began() == machine._IMPORTED


def test_threads_do_not_spin_for_long_and_are_as_many_as_a_quota_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16), raising=False)
    settings: dict[str, str] = {}
    machine.share_cores(settings, tmp_path)
    assert settings == {"GOMP_SPINCOUNT": "1000"}  # torch knows how many threads suit the cores it sees
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("300000 100000\n")
    machine.share_cores(settings, tmp_path)
    assert settings["OMP_NUM_THREADS"] == "3"
    own = {"GOMP_SPINCOUNT": "5", "OMP_NUM_THREADS": "7"}
    machine.share_cores(chosen := dict(own), tmp_path)
    assert chosen == own


@pytest.mark.skipif(sys.platform != "linux", reason="OpenMP of another maker shows its settings in other words")
def test_the_command_line_sets_that_before_torch_reads_it() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    shown = subprocess.run(
        [sys.executable, "-m", "memcli", "checks"],
        env=environment | {"OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert "GOMP_SPINCOUNT = '1000'" in shown


def test_a_processor_is_told_by_its_model_and_by_what_it_can_do(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    told = []
    for flags in ("sse avx", "avx sse", "sse avx avx512f"):
        core = f"model name\t: EPYC\nflags\t\t: {flags}\n\n"
        (tmp_path / "proc/cpuinfo").write_text(core * 2)
        told.append(machine.processor(tmp_path))
    assert told[0] == told[1] != told[2]
    assert all(one.startswith("EPYC ") for one in told)
    assert machine.processor(tmp_path / "nowhere")
