"""What a shell offers after an option that names a member of a kind. No torch, since people wait for it."""

import inspect
from collections.abc import Callable

from typer.models import ArgumentInfo, OptionInfo

from memcli.cli._kinds import names

_SETTINGS = {  # by the name of a command's parameter: where its kind is, and what follows the name of a member
    "source": ("memcli.data.sources:SOURCES", ":"),
    "data": ("memcli.data.sources:SOURCES", ":"),
    "network": ("memcli.networks:NETWORKS", ""),
    "storage": ("memcli.memory.storage:STORAGES", ""),
    "recipe": ("memcli.distillation.recipe:RECIPES", ""),
    "format": ("memcli.exporters:EXPORTERS", ""),
    "track": ("memcli.trackers:TRACKERS", ""),
    "protocol": ("memcli.jobs.protocols:PROTOCOLS", ""),
    "baselines": ("memcli.jobs.baselines:BASELINES", ""),
    "benchmark": ("memcli.continual.tasks:BENCHMARKS", ""),
}


def completed(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, whose parameters of these names offer the members of their kind.

    Where none fits what is typed, such as a path, shells complete files.
    """
    for name, parameter in inspect.signature(command).parameters.items():
        for told in getattr(parameter.annotation, "__metadata__", ()):
            if name in _SETTINGS and isinstance(told, OptionInfo | ArgumentInfo) and told.autocompletion is None:
                told.autocompletion = _members(*_SETTINGS[name])
    return command


def _members(where: str, end: str) -> Callable[[str], list[str]]:
    def offer(incomplete: str) -> list[str]:
        return [name + end for name in names(where) if name.startswith(incomplete)]

    return offer
