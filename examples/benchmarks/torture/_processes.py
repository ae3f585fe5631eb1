"""Commands as processes of their own, with what they took."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int  # negative: the signal that ended it
    stdout: str
    stderr: str
    seconds: float
    peak_mib: float  # of memory, resident

    def require(self, *codes: int) -> "Ended":
        """Itself, where it ended with one of `codes`, without a traceback, in one line of error where it has one."""
        told = f"exit {self.code}\n{self.stdout[-1000:]}\n{self.stderr[-2000:]}"
        assert self.code in codes, f"not one of {codes}: {told}"
        assert "Traceback" not in self.stderr, told
        assert self.stderr.count("memcli: error:") <= 1, told
        return self


def memcli(*args: object, cwd: Path, timeout: float = 300.0, environment: Mapping[str, str] | None = None) -> Ended:
    """`memcli ARGS` in the folder `cwd`. AssertionError where it goes on after `timeout` seconds."""
    command = [sys.executable, "-m", "memcli", *map(str, args)]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as output,
        tempfile.TemporaryFile("w+", errors="replace") as errors,
    ):
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env={**os.environ, **(environment or {})},
        )
        while True:
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() - began > timeout:
                process.kill()
                process.wait()
                raise AssertionError(f"it went on after {timeout:.0f} s: {' '.join(command)}")
            time.sleep(0.01)
        took, process.returncode = time.monotonic() - began, os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        return Ended(process.returncode, output.read(), errors.read(), took, used.ru_maxrss / 1024)
