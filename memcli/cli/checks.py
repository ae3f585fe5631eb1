"""`memcli checks`: what memcli runs on, and what would make it work better."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from memcli.cli._options import Json
from memcli.cli._output import emit

if TYPE_CHECKING:
    from memcli.jobs.installation import Installation

PANEL = "What there is"  # of memcli --help
JSON = {
    "versions": "of memcli, python, torch, torchvision and the system, as texts by name",
    "extras": "by name, whether all that an extra wants is installed",
    "devices": "a list of `{name, model, memory_bytes, quick_in_bfloat16}`; memory_bytes: of its own, or null",
    "cores": "the processor cores that the process may use",
    "threads": "the threads that torch uses",
    "compiler": "the C++ compiler for `--compile`; null where there is none",
    "cache": "the folder that compiled steps are kept in",
    "cache_writable": "whether it can be written",
    "cache_bytes": "the size of what it holds",
    "plugins": "a list of `{kind, name, value, fault}`; fault says why one is not used, or is null",
    "advice": "what to do, as texts; empty where all is well",
}


def command(*, json: Json = False) -> None:
    """Tell versions, devices, threads, the compiler and plug-ins, and what to do about them.

    Add its output where you report a fault.

    Example: memcli checks
    """
    from memcli.cli._kinds import registries
    from memcli.jobs.installation import installation

    found = installation(registries())
    emit(asdict(found), _lines(found), as_json=json)


def _lines(found: "Installation") -> list[tuple[str, str]]:
    extras = [name if there else f"{name} (not installed)" for name, there in found.extras.items()]
    devices = []
    for device in found.devices:
        memory = "" if device.memory_bytes is None else f", {device.memory_bytes / 2**30:,.0f} GiB"
        devices.append((device.name, f"{device.model}{memory}{', quick in bfloat16' * device.quick_in_bfloat16}"))
    kept = f", {found.cache_bytes / 2**20:,.0f} MiB" if found.cache_writable else " (cannot be written)"
    return [
        *found.versions.items(),
        ("extras", ", ".join(extras) or "unknown, since memcli is not installed"),
        *devices,
        ("threads", f"{found.threads} on {found.cores} cores"),
        ("compiler", found.compiler or "none"),
        ("cache", found.cache + kept),
        *(
            (f"plug-in {one.name}", f"{one.kind}, {one.value}{' (not used)' * bool(one.fault)}")
            for one in found.plugins
        ),
        *(("advice", each) for each in found.advice or ("Nothing is amiss.",)),
    ]
