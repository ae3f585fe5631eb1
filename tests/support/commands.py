"""Two ways to run the command line: inside this process, and as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from memcli.cli.app import app


def inside(*args: object, env: dict[str, str] | None = None) -> Result:
    """`inside("recall", path, env={...})` in this process."""
    return CliRunner().invoke(app, [str(arg) for arg in args], env=env)


def outside(
    folder: Path, *args: object, shell: str = "", unset: tuple[str, ...] = (), **environment: str
) -> subprocess.CompletedProcess[str]:
    """The same as a process in `folder`, without what the environment here may set.

    `shell`: how bash goes on after the command, such as "| head -1". `unset`: variables that are missing.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MEMCLI_", "FORCE_COLOR"))}
    for name in unset:
        clean.pop(name, None)
    command = [sys.executable, "-m", "memcli", *map(str, args)]
    if shell:
        command = ["bash", "-c", f'"$@" {shell}', "bash", *command]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=clean | environment, timeout=300, check=False
    )
