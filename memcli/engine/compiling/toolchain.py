"""What the compiler of training steps needs of the machine, and where it keeps what it makes. Compiles nothing."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from memcli import __version__, machine


def cpp_compiler() -> str | None:
    """The C++ compiler that steps on a CPU would be compiled with; None where there is none."""
    from torch._inductor import exc
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        return get_cpp_compiler()
    except (exc.InvalidCxxCompiler, RuntimeError, OSError):  # the second is Windows's
        return None


def compiled_code() -> tuple[str, bool]:
    """The folder that compiled steps are kept in, and whether it can be written. It is made where it is missing."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    try:
        folder = cache_dir()
    except OSError as error:
        return str(error.filename), False
    return folder, os.access(folder, os.W_OK)


def where(device: torch.device) -> str:
    """A text that processes share which can take compiled steps from one another: of one machine, folder and device."""
    return f"{platform.node()} {compiled_code()[0]} {device}"


def kept_bytes(folder: str | Path) -> int:
    """The size of what is in the folder of compiled steps."""
    sizes = 0
    for path in Path(folder).rglob("*"):
        with suppress(OSError):  # another process removed it
            sizes += path.stat(follow_symlinks=False).st_size
    return sizes


def made_for(device: torch.device) -> dict[str, str]:
    """What compiled code fits: elsewhere it is of no use, or holds instructions that the processor does not have."""
    gpu = "none"
    if device.type == "cuda":
        gpu = f"{torch.cuda.get_device_name(device)} {torch.cuda.get_device_capability(device)}"
    return {
        "memcli": __version__,
        "torch": str(torch.__version__),
        "python": str(sys.implementation.cache_tag),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": machine.processor(),
        "gpu": gpu,
    }


@contextmanager
def code_in(folder: Path) -> Iterator[None]:
    """Inside the block compiled code is kept in `folder`, also by processes that are started there."""
    from torch._inductor.utils import _set_env, clear_caches

    clear_caches()  # what is in memory knows the folder that it came from
    try:
        with _set_env("TORCHINDUCTOR_CACHE_DIR", str(folder)), _set_env("TRITON_CACHE_DIR", str(folder / "triton")):
            yield
    finally:
        clear_caches()
