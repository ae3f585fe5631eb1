"""Several processes of one command: those that torchrun starts join one another, and `--nproc` starts some here."""

import logging
import os
import signal
import sys
from datetime import timedelta
from typing import Any

import typer

from memcli.errors import Interrupted, UsageError
from memcli.machine import cores
from memcli.stopping import AGAIN

_STARTED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells a process that it starts
_LONGEST_WAIT = 7 * 24 * 3600.0  # seconds of a rank for the others: the first one chooses alone how to retrain
_SHORT_WAIT = timedelta(seconds=15)  # for what the processes share, which a busy machine may tell late


def is_started() -> bool:
    """Whether torchrun started this process, as one of several or as the only one."""
    return all(name in os.environ for name in _STARTED)


def is_first() -> bool:
    """Whether this process is the first of several, or alone."""
    return os.environ.get("RANK", "0") == "0" or not is_started()


def tells(error: Exception) -> bool:
    """Whether this process tells `error`: what several of them meet, the first to ask tells.

    That they were interrupted is told once, and only the first one tells that it was stopped by a signal.
    """
    if not is_started():
        return True
    from torch.distributed import TCPStore

    from memcli.ranks import LostError

    interrupted = isinstance(error, Interrupted)
    if interrupted and not isinstance(error, LostError) and not is_first():
        return False
    what = f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', '')} {'interrupted' if interrupted else error}"
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        shared = TCPStore(host, port, is_master=False, timeout=_SHORT_WAIT, wait_for_workers=False)
        return shared.add(f"memcli {what}", 1) == 1
    except (AttributeError, RuntimeError, ValueError):  # it is gone, or was never there
        return True


def start(count: int, device: str) -> tuple[str, bool]:
    """One of several processes of this command: its device, and whether it is the first, which alone speaks.

    Where torchrun has not started this process, and `count` are asked for, it starts them, and ends as they do.
    """
    if count > 1 and not is_started():
        raise typer.Exit(launch(count))
    return join(device)


def join(device: str) -> tuple[str, bool]:
    """Join the other processes, where torchrun started this one: its device, and whether it is the first.

    Where `device` leaves it open, and there are GPUs, each process has one of its own. Raises UsageError where this one
    cannot join.
    """
    if not is_started():
        return device, True
    import torch
    from torch import distributed

    gpu = device in ("auto", "cuda") and torch.cuda.is_available()
    backends = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    try:
        distributed.init_process_group(backends, timeout=timedelta(seconds=_LONGEST_WAIT))
    except (AttributeError, RuntimeError, ValueError) as error:  # the first where this torch cannot at all
        raise UsageError(
            f"this process cannot join the others ({error})", do="Start all of them with torchrun, or with `nproc`"
        ) from error
    if gpu:
        device = f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    return device, distributed.get_rank() == 0


def launch(count: int) -> int:
    """Run this command in so many processes on this machine, by torchrun's own launcher; the command's exit code.

    Raises Interrupted where a signal ended them: what a command saves then is saved.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # each process tells its own end
    settings: dict[str, Any] = {"min_nodes": 1, "max_nodes": 1, "nproc_per_node": count, "max_restarts": 0}
    config = LaunchConfig(**settings, run_id="memcli", rdzv_backend="c10d", rdzv_endpoint="localhost:0")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // count)))
    try:
        elastic_launch(config, sys.executable)("-m", "memcli", *sys.argv[1:])
    except ChildFailedError as error:
        codes = [failure.exitcode for failure in error.failures.values()]
        first = next((code for code in codes if code != Interrupted.exit_code), codes[0])  # that interrupts the others
        return 128 - first if first < 0 else first
    except SignalException as error:
        if error.sigval not in (signal.SIGINT, signal.SIGTERM):
            raise
        raise Interrupted("stopped", do=AGAIN) from error
    return 0
