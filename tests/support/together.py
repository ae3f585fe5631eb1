"""Several ranks for a test: `python together.py FOLDER RANK SIZE FILE FUNCTION` is one of them, and calls the function.

Each is a process of its own: torch's threads do not all survive a fork.
"""

import importlib.util
import inspect
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

_PATIENCE = timedelta(seconds=300)


def together(size: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work(rank)`, of a module's top level, returns in each of `size` ranks, as torch.save takes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        here = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        asked = [str(size), inspect.getfile(work), work.__name__]
        commands = [[sys.executable, __file__, folder, str(rank), *asked] for rank in range(size)]
        started = [subprocess.Popen(one, env=here, stderr=subprocess.PIPE, text=True) for one in commands]
        errors = [process.communicate()[1] for process in started]
        assert not any(process.returncode for process in started), "\n".join(errors)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(size)]


def main(name: str, rank: int, size: int, file: str, function: str) -> None:
    folder = Path(name)
    spec = importlib.util.spec_from_file_location("asked", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size, timeout=_PATIENCE)
    torch.save(getattr(module, function)(rank), folder / f"{rank}.pt")
    (folder / f"{rank}.done").touch()
    end = time.monotonic() + _PATIENCE.total_seconds()
    while len(list(folder.glob("*.done"))) < size and time.monotonic() < end:
        time.sleep(0.01)  # one that leaves sooner may take with it what another has not read yet


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
    os._exit(0)  # as commands end: a thread of gloo that asks for Python while it is taken down would abort
