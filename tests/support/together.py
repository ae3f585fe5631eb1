"""Several ranks for a test: `python together.py FOLDER SIZE FILE FUNCTION` calls the function in each of them.

They are forks of a process that imports once and has differentiated nothing: torch's threads for that survive no fork.
"""

import importlib.util
import inspect
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

_PATIENCE = timedelta(seconds=60)


def together(size: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work(rank)`, of a module's top level, returns in each of `size` ranks, as torch.save takes it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, folder, str(size), inspect.getfile(work), work.__name__]
        path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        here = {**os.environ, "PYTHONPATH": path}
        ended = subprocess.run(command, env=here, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(size)]


def main(folder: str, size: str, file: str, function: str) -> None:
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location("asked", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    children = [_forked(Path(folder), rank, int(size), getattr(module, function)) for rank in range(int(size))]
    codes = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(codes))


def _forked(folder: Path, rank: int, size: int, work: Callable[[int], Any]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        meeting = f"file://{folder}/meeting"
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size, timeout=_PATIENCE)
        torch.save(work(rank), folder / f"{rank}.pt")
        (folder / f"{rank}.done").touch()
        end = time.monotonic() + _PATIENCE.total_seconds()
        while len(list(folder.glob("*.done"))) < size and time.monotonic() < end:
            time.sleep(0.01)  # one that leaves sooner may take with it what another has not read yet
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
