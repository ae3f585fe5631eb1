"""What memcli runs on: versions, extras, devices, threads, compiler, cache and plug-ins; and what to do about them."""

import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memcli import __version__, machine
from memcli.errors import UsageError
from memcli.registry import Registry
from memcli.text import printable

GROUPS = "memcli."  # how the names of groups of entry points begin


@dataclass(frozen=True)
class Device:
    """A device that memcli can use."""

    name: str  # as `device` takes it
    model: str
    memory_bytes: int | None  # of its own; None for the CPU, and where it is shared with the CPU
    quick_in_bfloat16: bool


@dataclass(frozen=True)
class Plugin:
    """An entry point of another package."""

    kind: str
    name: str
    value: str  # "module:attribute"
    fault: str | None  # why it is not used


@dataclass(frozen=True)
class Installation:
    """What was found, and `advice`: what would make memcli work, or work better."""

    versions: dict[str, str]
    extras: dict[str, bool]  # by name, whether all that an extra wants is installed
    devices: tuple[Device, ...]
    cores: int  # that this process may use
    threads: int  # that torch uses
    compiler: str | None  # for C++
    cache: str  # the folder of compiled steps
    cache_writable: bool
    cache_bytes: int  # its size
    plugins: tuple[Plugin, ...]
    advice: tuple[str, ...]


def installation(kinds: Iterable[Registry[Any]]) -> Installation:
    """Look at this process and its machine; `kinds` are the registries whose plug-ins are tried. Raises nothing."""
    import torch
    import torchvision

    from memcli.engine.compiling import toolchain

    cache, writable = toolchain.compiled_code()
    found: dict[str, Any] = {
        "versions": {
            "memcli": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "torchvision": str(torchvision.__version__),
            "system": platform.platform(),
        },
        "extras": extras(_requirements()),
        "devices": _devices(),
        "cores": machine.cores(),
        "threads": torch.get_num_threads(),
        "compiler": toolchain.cpp_compiler(),
        "cache": cache,
        "cache_writable": writable,
        "cache_bytes": toolchain.kept_bytes(cache),
        "plugins": plugins(kinds),
    }
    idle = torch.version.cuda is None and torch.version.hip is None and Path("/dev/nvidia0").exists()
    return Installation(**found, advice=(*_advice(found), *([_IDLE_GPU] if idle else [])))


_IDLE_GPU = "There is an NVIDIA GPU, but this torch is built without CUDA: install the build that pytorch.org names"


def extras(requirements: Iterable[str]) -> dict[str, bool]:
    """By the name of each extra, whether every distribution that it wants is installed, in whichever version.

    `requirements` are those of memcli's metadata: `tensorboard>=2; extra == "tensorboard"`.
    """
    told: dict[str, bool] = {}
    for requirement in requirements:
        parts = re.match(r"""([\w.-]+).*;.*extra == ['"]([\w.-]+)['"]""", requirement)
        if parts:
            told[parts[2]] = told.get(parts[2], True) and _installed(parts[1])
    return told


def plugins(kinds: Iterable[Registry[Any]]) -> tuple[Plugin, ...]:
    """The entry points in memcli's groups, each tried: by kind, then by name."""
    by_group = {kind.group: kind for kind in kinds}
    found = []
    groups = [group for group in importlib.metadata.entry_points().groups if group.startswith(GROUPS)]
    points = [point for group in groups for point in importlib.metadata.entry_points(group=group)]
    for point in sorted(points, key=lambda point: (point.group, point.name)):
        kind = by_group.get(point.group)
        fault = f"memcli has no kind {printable(point.group)}" if kind is None else _fault(kind, point.name)
        noun = printable(point.group.removeprefix(GROUPS)) if kind is None else kind.noun
        found.append(Plugin(noun, printable(point.name), printable(point.value), fault))
    return tuple(found)


def _fault(kind: Registry[Any], name: str) -> str | None:
    """Why the plug-in of that name is not used; None where it is."""
    if name not in kind.plugins:
        return f"memcli has a {kind.noun} of this name itself"
    try:
        kind[name]
    except UsageError as error:
        return error.what
    return None


def _advice(found: dict[str, Any]) -> list[str]:
    """What to do about what was found."""
    advice = []
    if found["compiler"] is None:
        advice.append("No C++ compiler was found, so that runs of 3 minutes and more are slower: install g++ or clang")
    if not found["cache_writable"]:
        advice.append(
            f"Compiled steps cannot be kept in {printable(found['cache'])}: set TORCHINDUCTOR_CACHE_DIR to a folder "
            "that can be written"
        )
    if found["threads"] > found["cores"]:
        advice.append(
            f"torch uses {found['threads']} threads on {found['cores']} cores, which slows it: set "
            f"OMP_NUM_THREADS={found['cores']}"
        )
    advice += [
        f"The plug-in {plugin.name} ({plugin.kind}) is not used, since {plugin.fault}: repair, rename or uninstall it"
        for plugin in found["plugins"]
        if plugin.fault
    ]
    return advice


def _devices() -> tuple[Device, ...]:
    import torch

    from memcli.engine import quick_in_bfloat16

    cpu = torch.device("cpu")
    found = [Device("cpu", _processor(), None, quick_in_bfloat16(cpu))]
    for number in range(torch.cuda.device_count()):
        device, about = torch.device("cuda", number), torch.cuda.get_device_properties(number)
        found.append(Device(str(device), about.name, about.total_memory, quick_in_bfloat16(device)))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "Apple GPU", None, False))
    return tuple(found)


def _processor() -> str:
    """The name of the processor, as far as the system tells it."""
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if named:
            return named[0]
    return platform.processor() or platform.machine()


def _requirements() -> list[str]:
    """What memcli's metadata asks for; nothing where it runs without being installed."""
    try:
        return importlib.metadata.requires("memcli") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
